/* Properties of SOPS files over random documents in all five formats. A failure prints its seed;
 * AVIARY_SEED runs it again. */
#include "reconcile/secrets/sops_file_parts.h"
#include "tests/lib/sops_random.h"
#include <setjmp.h>
#include <sodium.h>

#include <cmocka.h>

#define ROUNDS 60

static const char *const names[] = {"f.yaml", "f.json", "f.env", "f.ini", "f.bin"};

struct world {
	struct sops_random random;
	struct keyring *ours, *others;
};

static void add_recipients(const struct keyring *keyring, struct sops_creation *creation)
{
	keyring_recipients(keyring, sops_creation_add_group(creation));
}

static struct sops_printing printing_of(const struct world *world)
{
	return (struct sops_printing){.format = world->random.format};
}

static struct sops_source source_of(const struct world *world, const struct buf *bytes)
{
	return (struct sops_source){
		world->random.format, names[world->random.format], bytes->text, bytes->len};
}

static void must(bool ok, const struct error *err)
{
	if (!ok)
		fail_msg("%s (%s)", err->message, err->where);
}

/* A random plain file. What the writer cannot hold is left out: it does not read back. */
static bool make_plain(struct world *world, struct arena *arena, struct buf *out)
{
	const struct sops_printing printing = printing_of(world);
	struct sops_item *documents = sops_random_documents(&world->random, arena), *again;
	struct error err;
	bool taken;
	must(sops_store_write_plain(documents, &printing, out, &err), &err);
	const struct sops_source source = source_of(world, out);
	if (!sops_store_read_plain(&source, arena, &again, &taken, &err)) {
		if (world->random.format != SOPS_INI)
			fail_msg("%s:\n%s", err.message, out->text);
		return false;
	}
	bool same = sops_item_same_values(documents, again);
	if (!same && world->random.format == SOPS_YAML)
		fail_msg("reads back otherwise:\n%s", out->text);
	return true;
}

static void encrypt(const struct world *world, const struct buf *plain,
	const struct sops_creation *creation, struct buf *out)
{
	const struct sops_source source = source_of(world, plain);
	const struct sops_printing printing = printing_of(world);
	auto_sops_file struct sops_file *file = NULL;
	enum sops_failure failure;
	struct error err;
	must(sops_file_new(&source, creation, &file, &failure, &err), &err);
	must(sops_file_write(file, &printing, out, &err), &err);
}

static struct sops_file *open_file(
	const struct world *world, const struct keyring *keyring, const struct buf *bytes)
{
	const struct sops_source source = source_of(world, bytes);
	struct sops_file *file = NULL;
	enum sops_failure failure;
	struct error err;
	must(sops_file_open(&source, keyring, &file, &failure, &err), &err);
	return file;
}

static void print(const struct world *world, const struct sops_file *file, struct buf *out)
{
	const struct sops_printing printing = printing_of(world);
	struct error err;
	must(sops_file_print(file, &printing, out, &err), &err);
}

static void assert_same(const struct buf *a, const struct buf *b)
{
	if (a->len != b->len || memcmp(a->text, b->text, a->len) != 0)
		fail_msg("one:\n%s\nother:\n%s", a->text, b->text);
}

/* Calls a test for many documents of each format. */
static void each(void (*test)(struct world *world), unsigned rounds)
{
	struct world world = {.random.state = sops_random_seed()};
	world.ours = keyring_generate();
	world.others = keyring_generate();
	for (unsigned i = 0; i < rounds * 5; i++) {
		world.random.format = (enum sops_format)(i % 5);
		world.random.comments = i % 2;
		test(&world);
	}
	keyring_free(world.ours);
	keyring_free(world.others);
}

/* What comes out is what went in; printed once more it is the same bytes. */
static void round_trip(struct world *world)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_sops_creation struct sops_creation creation = SOPS_CREATION_INIT;
	auto_buf struct buf plain = BUF_INIT(1 << 20), file = BUF_INIT(1 << 22);
	auto_buf struct buf out = BUF_INIT(1 << 20), again = BUF_INIT(1 << 22);
	auto_buf struct buf out_again = BUF_INIT(1 << 20);
	if (!make_plain(world, arena, &plain))
		return;
	add_recipients(world->ours, &creation);
	encrypt(world, &plain, &creation, &file);
	auto_sops_file struct sops_file *opened = open_file(world, world->ours, &file);
	print(world, opened, &out);
	encrypt(world, &out, &creation, &again);
	auto_sops_file struct sops_file *reopened = open_file(world, world->ours, &again);
	print(world, reopened, &out_again);
	assert_same(&out, &out_again);
	if (!world->random.comments)
		assert_same(&plain, &out);
}

static void what_is_encrypted_comes_out_as_it_went_in(void **state)
{
	(void)state; /* no fixture of its own */
	each(round_trip, ROUNDS);
}

/* Writing a file without a change gives the same bytes. */
static void unchanged(struct world *world)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_sops_creation struct sops_creation creation = SOPS_CREATION_INIT;
	auto_buf struct buf plain = BUF_INIT(1 << 20), file = BUF_INIT(1 << 22);
	auto_buf struct buf again = BUF_INIT(1 << 22);
	const struct sops_printing printing = printing_of(world);
	struct error err;
	world->random.comments = false; /* those beside a value move above it */
	if (!make_plain(world, arena, &plain))
		return;
	add_recipients(world->ours, &creation);
	encrypt(world, &plain, &creation, &file);
	auto_sops_file struct sops_file *opened = open_file(world, world->ours, &file);
	must(sops_file_write(opened, &printing, &again, &err), &err);
	assert_same(&file, &again);
}

static void a_file_without_a_change_is_written_as_it_was(void **state)
{
	(void)state; /* no fixture of its own */
	each(unchanged, ROUNDS / 2);
}

/* Lines of @p a that are not in @p b. */
static size_t new_lines(const struct buf *a, const struct buf *b)
{
	size_t count = 0;
	for (const char *line = a->text; *line;) {
		size_t len = strcspn(line, "\n");
		auto_free char *copy = mem_dup(line, len);
		count += strstr(b->text, copy) == NULL;
		line += len + (line[len] == '\n');
	}
	return count;
}

/* set, unset, rotate, updatekeys: each leaves the other values, and the keys that it should. */
static void chain(struct world *world)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_sops_creation struct sops_creation ours = SOPS_CREATION_INIT,
						both = SOPS_CREATION_INIT;
	auto_strlist struct strlist other = STRLIST_INIT, own = STRLIST_INIT, none = STRLIST_INIT;
	auto_buf struct buf plain = BUF_INIT(1 << 20), file = BUF_INIT(1 << 22);
	auto_buf struct buf set = BUF_INIT(1 << 22), out = BUF_INIT(1 << 20);
	auto_buf struct buf end = BUF_INIT(1 << 22), last = BUF_INIT(1 << 20);
	const struct sops_printing printing = printing_of(world);
	struct error err;
	bool changed;
	enum sops_failure failure;
	world->random.comments = false;
	if (world->random.format == SOPS_BINARY || !make_plain(world, arena, &plain))
		return;
	const char *path =
		world->random.format == SOPS_INI ? "[\"section 1\"][\"new\"]" : "[\"new\"]";
	add_recipients(world->ours, &ours);
	strlist_copy(sops_creation_add_group(&both), &ours.groups[0]);
	keyring_recipients(world->others, &other);
	keyring_recipients(world->ours, &own);
	strlist_copy(&both.groups[0], &ours.groups[0]);
	strlist_add(&both.groups[0], other.items[0]);
	encrypt(world, &plain, &ours, &file);

	auto_sops_file struct sops_file *opened = open_file(world, world->ours, &file);
	must(sops_file_set(opened, path, (struct sops_text){"\"v\"", 3}, &changed, &err), &err);
	assert_true(changed);
	must(sops_file_write(opened, &printing, &set, &err), &err);
	assert_true(new_lines(&set, &file) <= 8); /* value, mac, lastmodified in each document */
	must(sops_file_set(opened, path, (struct sops_text){"\"v\"", 3}, &changed, &err), &err);
	assert_false(changed);
	must(sops_file_unset(opened, path, &err), &err);
	print(world, opened, &out);
	assert_same(&plain, &out);

	must(sops_file_rotate(opened, &other, &own, &err), &err);
	must(sops_file_write(opened, &printing, &end, &err), &err);
	const struct sops_source source = source_of(world, &end);
	struct sops_file *nobody = NULL;
	assert_false(sops_file_open(&source, world->ours, &nobody, &failure, &err));
	assert_int_equal(failure, SOPS_NO_KEY);
	auto_sops_file struct sops_file *theirs = open_file(world, world->others, &end);
	must(sops_file_update_keys(theirs, &both, 0, &changed, &err), &err);
	assert_true(changed);
	must(sops_file_update_keys(theirs, &both, 0, &changed, &err), &err);
	assert_false(changed);
	buf_truncate(&end, 0);
	must(sops_file_write(theirs, &printing, &end, &err), &err);
	auto_sops_file struct sops_file *finally = open_file(world, world->ours, &end);
	print(world, finally, &last);
	assert_same(&plain, &last);
	assert_false(sops_file_rotate(finally, &none, &both.groups[0], &err));
}

static void chains_of_changes_keep_all_other_values(void **state)
{
	(void)state; /* no fixture of its own */
	each(chain, ROUNDS / 3);
}

static void note(void *data, struct sops_item *item, struct sops_aad aad)
{
	struct buf *out = data;
	auto_buf struct buf text = BUF_INIT(1 << 20);
	struct error err;
	must(sops_value_mac_text(item->value, &text, &err), &err);
	if (item->kind == SOPS_ITEM_COMMENT || !text.len)
		return;
	buf_add(out, aad.text, aad.len);
	buf_add_char(out, '=');
	buf_add(out, text.text, text.len);
	buf_add_char(out, '\0');
}

/* All values that are encrypted, with their paths. */
static void list_secrets(struct sops_file *file, struct buf *out)
{
	struct sops_walked walked;
	const struct sops_walk walk = {
		.kind = SOPS_WALK_VISIT,
		.arena = file->arena,
		.rules = &file->metadata.rules,
		.visit = note,
		.data = out,
	};
	struct error err;
	must(sops_walk_documents(&walk, file->documents, &walked, &err), &err);
}

/* Opens a file with a byte that is not as it was written. */
static void open_changed(struct world *world, const struct buf *file, const struct buf *secrets)
{
	const struct sops_source source = source_of(world, file);
	auto_sops_file struct sops_file *changed = NULL;
	auto_buf struct buf other = BUF_INIT(1 << 20);
	enum sops_failure failure;
	struct error err = {.message = ""};
	if (sops_file_open(&source, world->ours, &changed, &failure, &err)) {
		list_secrets(changed, &other);
		assert_same(secrets, &other);
		return;
	}
	assert_int_not_equal(failure, SOPS_OK);
	assert_true(*err.message);
	assert_null(strstr(err.message, "s3cr3t"));
}

/* Another byte anywhere gives an error or the same secrets at the same paths. Not authenticated
 * are names of plain and of empty values, comments, and layout. */
static void flip(struct world *world)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_sops_creation struct sops_creation creation = SOPS_CREATION_INIT;
	auto_buf struct buf plain = BUF_INIT(1 << 20), file = BUF_INIT(1 << 22);
	auto_buf struct buf secrets = BUF_INIT(1 << 20);
	world->random.tame = true;
	if (!make_plain(world, arena, &plain))
		return;
	add_recipients(world->ours, &creation);
	encrypt(world, &plain, &creation, &file);
	auto_sops_file struct sops_file *opened = open_file(world, world->ours, &file);
	list_secrets(opened, &secrets);
	for (int i = 0; i < 40; i++) {
		size_t at = sops_random_below(&world->random, (unsigned)file.len);
		char before = file.text[at];
		file.text[at] = (char)(before ^ 1 << sops_random_below(&world->random, 8));
		open_changed(world, &file, &secrets);
		file.text[at] = before;
	}
	world->random.tame = false;
}

static void a_changed_byte_gives_an_error_or_what_is_not_authenticated(void **state)
{
	(void)state; /* no fixture of its own */
	each(flip, ROUNDS / 3);
}

/* The same text gives the same file but for its time: no value has a new ciphertext. */
static void edited(struct world *world)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_sops_creation struct sops_creation creation = SOPS_CREATION_INIT;
	auto_buf struct buf plain = BUF_INIT(1 << 20), file = BUF_INIT(1 << 22);
	auto_buf struct buf text = BUF_INIT(1 << 20), after = BUF_INIT(1 << 22);
	const struct sops_printing printing = printing_of(world);
	struct error err;
	bool changed;
	if (world->random.format == SOPS_BINARY || world->random.format == SOPS_INI ||
		!make_plain(world, arena, &plain))
		return;
	add_recipients(world->ours, &creation);
	encrypt(world, &plain, &creation, &file);
	auto_sops_file struct sops_file *opened = open_file(world, world->ours, &file);
	print(world, opened, &text);
	must(sops_file_edit(opened, (struct sops_text){text.text, text.len}, &changed, &err), &err);
	if (changed)
		fail_msg("changed by nothing:\n%s", text.text);
	if (world->random.format == SOPS_JSON)
		return; /* a line cannot just be added */
	const char *more = world->random.format == SOPS_DOTENV ? "new=x\n" : "new: x\n";
	buf_add_str(&text, more);
	must(sops_file_edit(opened, (struct sops_text){text.text, text.len}, &changed, &err), &err);
	assert_true(changed);
	must(sops_file_write(opened, &printing, &after, &err), &err);
	assert_true(world->random.comments || new_lines(&after, &file) <= 8);
	assert_false(sops_file_edit(opened, (struct sops_text){"sops: {}\n", 9}, &changed, &err) &&
		     world->random.format == SOPS_YAML);
}

static void editing_keeps_the_ciphertext_of_what_stays(void **state)
{
	(void)state; /* no fixture of its own */
	each(edited, ROUNDS / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_encrypted_comes_out_as_it_went_in),
		cmocka_unit_test(a_file_without_a_change_is_written_as_it_was),
		cmocka_unit_test(chains_of_changes_keep_all_other_values),
		cmocka_unit_test(a_changed_byte_gives_an_error_or_what_is_not_authenticated),
		cmocka_unit_test(editing_keeps_the_ciphertext_of_what_stays),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
