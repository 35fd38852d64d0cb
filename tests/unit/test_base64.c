/* Base64 is taken exactly as libsodium takes it. */
#include "base/base64.h"
#include <setjmp.h>
#include <sodium.h>

#include <cmocka.h>

#define TEXT_MAX 40

static int variant_of(enum base64_form form)
{
	return form == BASE64_PADDED ? sodium_base64_VARIANT_ORIGINAL
				     : sodium_base64_VARIANT_ORIGINAL_NO_PADDING;
}

static void compare(enum base64_form form, const char *text, size_t len, size_t max)
{
	uint8_t ours[TEXT_MAX], theirs[TEXT_MAX];
	size_t want = 0;
	struct base64_room room = {ours, max, 0};
	bool ok = base64_decode(form, text, len, &room);
	bool good =
		sodium_base642bin(theirs, max, text, len, NULL, &want, NULL, variant_of(form)) == 0;
	if (ok != good || (ok && (room.len != want || memcmp(ours, theirs, want) != 0)))
		fail_msg("'%.*s' at most %zu: %d, libsodium %d", (int)len, text, max, ok, good);
}

static void texts_are_taken_strictly(void **state)
{
	(void)state; /* no fixture of its own */
	static const char *const texts[] = {"", "YQ", "YQ=", "YQ==", "YR==", "YR", "YWI=", "YWI",
		"YWJ=", "YWJj", "Y", "Y===", "====", "=", "==", "YQ==YQ==", "YWJjYQ==", "YW Jj",
		"YWJj\n", "Y-_j", "+/+/", "YWJjY", "=YWJ", "Y=WJ", "\x1f+++"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		for (size_t max = 0; max < 8; max++) {
			compare(BASE64_PADDED, texts[i], strlen(texts[i]), max);
			compare(BASE64_UNPADDED, texts[i], strlen(texts[i]), max);
		}
	}
	compare(BASE64_UNPADDED, "YW\0j", 4, 8);
}

/* libsodium 1.0.18 takes some of them for characters of the alphabet. */
static void bytes_outside_of_ascii_are_no_base64(void **state)
{
	(void)state; /* no fixture of its own */
	for (int byte = 0x80; byte < 0x100; byte++) {
		const char text[] = {'Y', 'W', 'J', (char)byte};
		uint8_t out[8];
		struct base64_room room = {out, sizeof(out), 0};
		assert_false(base64_decode(BASE64_PADDED, text, 4, &room));
		assert_false(base64_decode(BASE64_UNPADDED, text, 4, &room));
	}
}

static void random_texts_are_taken_as_by_libsodium(void **state)
{
	(void)state; /* no fixture of its own */
	static const char some[] = "AQgwZaz09+/+/== \n-";
	for (int i = 0; i < 200000; i++) {
		char text[TEXT_MAX];
		size_t len = randombytes_uniform(13);
		for (size_t k = 0; k < len; k++)
			text[k] = some[randombytes_uniform(i % 2 ? 12 : sizeof(some) - 1)];
		compare(i % 3 ? BASE64_PADDED : BASE64_UNPADDED, text, len, TEXT_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_taken_strictly),
		cmocka_unit_test(bytes_outside_of_ascii_are_no_base64),
		cmocka_unit_test(random_texts_are_taken_as_by_libsodium),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
