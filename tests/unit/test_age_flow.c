/* Age files in pieces: what goes in comes out, whatever its size and that of the pieces; what fails
 * is told. */
#include "reconcile/secrets/age_flow.h"
#include <setjmp.h>
#include <sodium.h>

#include <cmocka.h>

struct ends {
	const char *at, *end;
	struct buf out;
	size_t fails_at; /* bytes read or written until it fails; SIZE_MAX never */
	size_t read, written;
};

static ssize_t read_piece(void *data, void *out, size_t size, struct error *err)
{
	struct ends *ends = data;
	size_t left = (size_t)(ends->end - ends->at), most = 1 + randombytes_uniform(90000);
	size = size < most ? size : most;
	size = size < left ? size : left;
	if (ends->read + size > ends->fails_at) {
		error_set(err, ERR_SYSTEM, "the source fails");
		return -1;
	}
	memcpy(out, ends->at, size);
	ends->at += size;
	ends->read += size;
	return (ssize_t)size;
}

static bool write_piece(void *data, const void *bytes, size_t len, struct error *err)
{
	struct ends *ends = data;
	ends->written += len;
	if (ends->written > ends->fails_at)
		return error_set(err, ERR_SYSTEM, "the sink fails");
	buf_add(&ends->out, bytes, len);
	return true;
}

static void start(struct ends *ends, const struct buf *in)
{
	*ends = (struct ends){in->text, in->text + in->len, BUF_INIT(1 << 21), SIZE_MAX, 0, 0};
}

/* Encrypts through a flow; false as it says. */
static bool seal(const struct age_identities *identities, struct ends *ends, struct error *err)
{
	const uint8_t(*key)[AGE_KEY_SIZE] = &identities->items[0].recipient;
	const struct age_recipients to = {.keys = key, .count = 1};
	const struct age_flow flow = {read_piece, write_piece, ends};
	return age_flow_encrypt(&to, &flow, err);
}

static void check_size(const struct age_identities *identities, size_t size)
{
	auto_buf struct buf plain = BUF_INIT(1 << 20), whole = BUF_INIT_SECRET(1 << 20);
	struct ends sealing, opening;
	enum age_failure failure;
	struct error err = {.message = ""};
	for (size_t i = 0; i < size; i++)
		buf_add_char(&plain, (char)(i * 31 >> 3));
	start(&sealing, &plain);
	if (!seal(identities, &sealing, &err))
		fail_msg("%zu: %s", size, err.message);
	const struct age_file file = {sealing.out.text, sealing.out.len, false};
	assert_true(age_decrypt(&file, identities, &whole, &failure, &err));
	assert_int_equal(whole.len, size);
	assert_memory_equal(whole.text, plain.text, size);
	start(&opening, &sealing.out);
	const struct age_flow flow = {read_piece, write_piece, &opening};
	if (!age_flow_decrypt(identities, &flow, &failure, &err) || failure != AGE_OK)
		fail_msg("%zu: %s", size, err.message);
	assert_int_equal(opening.out.len, size);
	assert_memory_equal(opening.out.text, plain.text, size);
	buf_clear(&sealing.out);
	buf_clear(&opening.out);
}

static void files_of_every_size_come_out_as_they_went_in(void **state)
{
	(void)state; /* no fixture of its own */
	static const size_t sizes[] = {
		0, 1, 65535, 65536, 65537, 131071, 131072, 131073, 262144, 262300, 327680, 400001};
	auto_age_identities struct age_identities identities = AGE_IDENTITIES_INIT;
	age_identities_generate(&identities);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		check_size(&identities, sizes[i]);
}

static void a_source_or_sink_that_fails_is_told(void **state)
{
	(void)state; /* no fixture of its own */
	auto_age_identities struct age_identities identities = AGE_IDENTITIES_INIT;
	auto_buf struct buf plain = BUF_INIT(1 << 20);
	struct ends sealing, opening;
	struct error err;
	enum age_failure failure;
	age_identities_generate(&identities);
	for (size_t i = 0; i < 300000; i++)
		buf_add_char(&plain, 'x');
	start(&sealing, &plain);
	assert_true(seal(&identities, &sealing, &err));
	for (size_t at = 0; at < 300000; at += 50000) {
		struct ends broken;
		start(&broken, &plain);
		broken.fails_at = at;
		assert_false(seal(&identities, &broken, &err));
		assert_non_null(strstr(err.message, "fails"));
		buf_clear(&broken.out);
		start(&opening, &sealing.out);
		opening.fails_at = at;
		const struct age_flow flow = {read_piece, write_piece, &opening};
		assert_false(age_flow_decrypt(&identities, &flow, &failure, &err));
		assert_non_null(strstr(err.message, "fails"));
		assert_int_not_equal(failure, AGE_OK);
		buf_clear(&opening.out);
	}
	buf_clear(&sealing.out);
}

/* What was handed out before the damage is authentic. */
static void a_file_that_is_cut_gives_only_whole_chunks(void **state)
{
	(void)state; /* no fixture of its own */
	auto_age_identities struct age_identities identities = AGE_IDENTITIES_INIT;
	auto_buf struct buf plain = BUF_INIT(1 << 20);
	struct ends sealing;
	struct error err;
	age_identities_generate(&identities);
	for (size_t i = 0; i < 3 * AGE_CHUNK_SIZE; i++)
		buf_add_char(&plain, (char)i);
	start(&sealing, &plain);
	assert_true(seal(&identities, &sealing, &err));
	for (size_t cut = 1; cut < sealing.out.len; cut += cut < 70000 ? 1777 : 65552) {
		struct ends opening;
		enum age_failure failure;
		start(&opening, &sealing.out);
		opening.end -= cut;
		const struct age_flow flow = {read_piece, write_piece, &opening};
		assert_false(age_flow_decrypt(&identities, &flow, &failure, &err));
		assert_true(failure == AGE_PAYLOAD || failure == AGE_HEADER);
		assert_int_equal(opening.out.len % AGE_CHUNK_SIZE, 0);
		assert_memory_equal(opening.out.text, plain.text, opening.out.len);
		buf_clear(&opening.out);
	}
	buf_clear(&sealing.out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_of_every_size_come_out_as_they_went_in),
		cmocka_unit_test(a_source_or_sink_that_fails_is_told),
		cmocka_unit_test(a_file_that_is_cut_gives_only_whole_chunks),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
