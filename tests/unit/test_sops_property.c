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

/* Value, mac and lastmodified in each document; in ini the names of a section are as wide as the
 * longest, so that each of its lines may be new. */
static void assert_few_new_lines(
	const struct world *world, const struct buf *after, const struct buf *before)
{
	size_t most = world->random.format == SOPS_INI ? 20 : 9;
	if (new_lines(after, before) > most)
		fail_msg("%zu new lines in:\n%s", new_lines(after, before), after->text);
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
	assert_few_new_lines(world, &set, &file);
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

/* Secrets as one text, and where the last path in it starts. */
struct listing {
	struct buf *out;
	size_t path, path_len;
};

/* Items of one list go behind each other, as they are hashed: "1x" and "1x1x" can be swapped. */
static void note(void *data, struct sops_item *item, struct sops_aad aad)
{
	struct listing *listing = data;
	auto_buf struct buf text = BUF_INIT(1 << 20);
	struct error err;
	must(sops_value_mac_text(item->value, &text, &err), &err);
	if (item->kind == SOPS_ITEM_COMMENT || !text.len)
		return;
	if (listing->path_len != aad.len ||
		memcmp(listing->out->text + listing->path, aad.text, aad.len) != 0) {
		buf_add_char(listing->out, '\n');
		listing->path = listing->out->len;
		listing->path_len = aad.len;
		buf_add(listing->out, aad.text, aad.len);
		buf_add_char(listing->out, '=');
	}
	buf_add(listing->out, text.text, text.len);
}

/* All values that are encrypted, with their paths. */
static void list_secrets(struct sops_file *file, struct buf *out)
{
	struct listing listing = {.out = out};
	struct sops_walked walked;
	const struct sops_walk walk = {
		.kind = SOPS_WALK_VISIT,
		.arena = file->arena,
		.rules = &file->metadata.rules,
		.visit = note,
		.data = &listing,
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

/* Takes @p len bytes out and puts them in @p by bytes further on. */
static void rotate(char *at, size_t len, size_t by)
{
	auto_free char *held = mem_dup(at, len);
	memmove(at, at + len, by);
	memcpy(at + by, held, len);
}

/* One of the ways in which a file comes to be other than it was written. */
static void damage(struct sops_random *random, struct buf *file)
{
	size_t len = file->len, at = sops_random_below(random, (unsigned)len);
	size_t left = len - at, part = 1 + sops_random_below(random, 60);
	switch (sops_random_below(random, 4)) {
	case 0:
		file->text[at] = (char)(file->text[at] ^ 1 << sops_random_below(random, 8));
		return;
	case 1: /* a byte elsewhere */
		rotate(file->text + at, 1, sops_random_below(random, (unsigned)left));
		return;
	case 2: /* some bytes elsewhere */
		if (part < left)
			rotate(file->text + at, part,
				sops_random_below(random, (unsigned)(left - part)));
		return;
	default: /* gone */
		memmove(file->text + at, file->text + at + 1, left);
		buf_truncate(file, len - 1);
		return;
	}
}

/* Encrypted texts of two values, in each other's place. */
static bool swap_two(struct sops_random *random, struct buf *file)
{
	const char *found[200], *mark = "ENC[";
	size_t count = 0;
	for (const char *at = file->text; count < ARRAY_LEN(found) && (at = strstr(at, mark)); at++)
		found[count++] = at;
	if (count < 2)
		return false;
	size_t second = 1 + sops_random_below(random, (unsigned)count - 1);
	const char *one = found[sops_random_below(random, (unsigned)second)],
		   *other = found[second];
	size_t one_len = strcspn(one, "]"), other_len = strcspn(other, "]");
	auto_buf struct buf swapped = BUF_INIT(1 << 22);
	buf_add(&swapped, file->text, (size_t)(one - file->text));
	buf_add(&swapped, other, other_len);
	buf_add(&swapped, one + one_len, (size_t)(other - one) - one_len);
	buf_add(&swapped, one, one_len);
	buf_add_str(&swapped, other + other_len);
	buf_truncate(file, 0);
	buf_add(file, swapped.text, swapped.len);
	return true;
}

/* A byte changed, moved or lost anywhere, or two values swapped, gives an error or the same secrets
 * at the same paths. Not authenticated are names of plain and of empty values, comments, and
 * layout. */
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
	for (int i = 0; i < 60; i++) {
		auto_buf struct buf changed = BUF_INIT(1 << 22);
		buf_add(&changed, file.text, file.len);
		if (i % 6 || !swap_two(&world->random, &changed))
			damage(&world->random, &changed);
		open_changed(world, &changed, &secrets);
	}
	world->random.tame = false;
}

static void a_changed_or_moved_byte_gives_an_error_or_what_is_not_authenticated(void **state)
{
	(void)state; /* no fixture of its own */
	each(flip, ROUNDS / 3);
}

/* What is added to a text of each format; a line cannot just be added to JSON. */
static const char *addition_of(enum sops_format format)
{
	static const char *const texts[] = {[SOPS_YAML] = "new: x\n",
		[SOPS_DOTENV] = "new=x\n",
		[SOPS_INI] = "[new section]\nnew = x\n",
		[SOPS_BINARY] = "more"};
	return format == SOPS_JSON ? NULL : texts[format];
}

static void edit(struct sops_file *file, const struct buf *text, bool changes)
{
	struct error err;
	bool changed;
	must(sops_file_edit(file, (struct sops_text){text->text, text->len}, &changed, &err), &err);
	if (changed != changes)
		fail_msg("changed: %d by\n%s", changed, text->text);
}

/* What is not valid is refused, and nothing of the file changes. */
static void edit_badly(struct world *world, struct sops_file *file, const struct buf *text)
{
	static const char *const bad[] = {[SOPS_YAML] = "sops: {}\n",
		[SOPS_JSON] = "{\"sops\": {}}",
		[SOPS_DOTENV] = "sops_mac=x\n",
		[SOPS_INI] = "[sops]\na = b\n"};
	auto_buf struct buf after = BUF_INIT(1 << 20);
	struct error err;
	bool changed;
	if (world->random.format == SOPS_BINARY)
		return; /* it holds anything */
	const char *worse = bad[world->random.format];
	assert_false(
		sops_file_edit(file, (struct sops_text){worse, strlen(worse)}, &changed, &err));
	print(world, file, &after);
	assert_same(text, &after);
}

/* The same text gives the same file but for its time: no value has a new ciphertext. */
static void edited(struct world *world)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_sops_creation struct sops_creation creation = SOPS_CREATION_INIT;
	auto_buf struct buf plain = BUF_INIT(1 << 20), file = BUF_INIT(1 << 22);
	auto_buf struct buf text = BUF_INIT(1 << 20), after = BUF_INIT(1 << 22);
	auto_buf struct buf printed = BUF_INIT(1 << 20);
	const struct sops_printing printing = printing_of(world);
	const char *more = addition_of(world->random.format);
	struct error err;
	if (!make_plain(world, arena, &plain))
		return;
	add_recipients(world->ours, &creation);
	encrypt(world, &plain, &creation, &file);
	auto_sops_file struct sops_file *opened = open_file(world, world->ours, &file);
	print(world, opened, &text);
	edit(opened, &text, false);
	edit_badly(world, opened, &text);
	if (!more)
		return;
	buf_add_str(&text, more);
	edit(opened, &text, true);
	must(sops_file_write(opened, &printing, &after, &err), &err);
	if (!world->random.comments && world->random.format != SOPS_BINARY)
		assert_few_new_lines(world, &after, &file);
	auto_sops_file struct sops_file *again = open_file(world, world->ours, &after);
	print(world, again, &printed);
	if (world->random.format == SOPS_BINARY)
		assert_same(&text, &printed);
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
		cmocka_unit_test(
			a_changed_or_moved_byte_gives_an_error_or_what_is_not_authenticated),
		cmocka_unit_test(editing_keeps_the_ciphertext_of_what_stays),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
