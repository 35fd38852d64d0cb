/* The real programs, where they are in PATH: sops opens what is written here and prints the same;
 * what sops writes opens here and prints the same; age likewise. */
#include "base/exec.h"
#include "base/fs.h"
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/sops_file.h"
#include "tests/lib/fixture.h"
#include "tests/lib/sops_random.h"
#include <setjmp.h>
#include <sodium.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS     8 /* of each format */
#define SSH_ROUNDS 3

static const char *const names[] = {"f.yaml", "f.json", "f.env", "f.ini", "f.bin"};

struct world {
	struct sops_random random;
	struct keyring *keyring;
	char *folder;
	struct sops_creation creation;
	char *environment[5];
};

static void must(bool ok, const struct error *err)
{
	if (!ok)
		fail_msg("%s (%s)", err->message, err->where);
}

static char *inside(const struct world *world, const char *name)
{
	return mem_printf("%s/%s", world->folder, name);
}

static void write_file(const struct world *world, const char *name, const struct buf *bytes)
{
	auto_free char *path = inside(world, name);
	struct error err;
	must(fs_write(path, bytes->text, bytes->len, 0600, &err), &err);
}

/* Runs a program in the folder; its output goes to @p out. False: it is not here. */
static bool run(const struct world *world, const char *const *argv, struct buf *out, int *status)
{
	struct exec_request request = EXEC_REQUEST_INIT;
	struct exec_result result;
	struct error err;
	request.argv = argv;
	request.environ_ = (const char *const *)world->environment;
	request.folder = world->folder;
	if (!exec_run(&request, &result, &err))
		return false;
	buf_add(out, result.output.text, result.output.len);
	*status = result.exit_status;
	exec_result_clear(&result);
	return true;
}

static bool have(const struct world *world, const char *program)
{
	auto_buf struct buf out = BUF_INIT(1 << 16);
	int status;
	const char *const argv[] = {program, "--version", NULL};
	if (run(world, argv, &out, &status) && status == 0)
		return true;
	print_message("skipped: no %s in PATH\n", program);
	return false;
}

static int set_up(void **state)
{
	struct world *world = mem_zero(1, sizeof(*world));
	auto_buf struct buf key = BUF_INIT_SECRET(4096);
	struct error err;
	must(fs_scratch(NULL, "interop", &world->folder, &err), &err);
	world->keyring = keyring_generate();
	keyring_write(world->keyring, &key);
	write_file(world, "key.txt", &key);
	keyring_recipients(world->keyring, sops_creation_add_group(&world->creation));
	world->environment[0] = mem_printf("PATH=%s", getenv("PATH"));
	world->environment[1] = mem_printf("HOME=%s", world->folder);
	world->environment[2] = mem_printf("SOPS_AGE_KEY_FILE=%s/key.txt", world->folder);
	world->environment[3] =
		mem_printf("SOPS_AGE_RECIPIENTS=%s", world->creation.groups[0].items[0]);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct error err;
	must(fs_remove_tree(world->folder, &err), &err);
	free(world->folder);
	keyring_free(world->keyring);
	sops_creation_clear(&world->creation);
	for (size_t i = 0; world->environment[i]; i++)
		free(world->environment[i]);
	free(world);
	return 0;
}

static struct sops_printing printing_of(const struct world *world)
{
	return (struct sops_printing){.format = world->random.format};
}

/* A plain file that reads back as it is; else false. */
static bool make_plain(struct world *world, struct arena *arena, struct buf *out)
{
	const struct sops_printing printing = printing_of(world);
	struct sops_item *documents = sops_random_documents(&world->random, arena), *again;
	struct error err;
	bool taken;
	must(sops_store_write_plain(documents, &printing, out, &err), &err);
	const struct sops_source source = {
		world->random.format, names[world->random.format], out->text, out->len};
	return sops_store_read_plain(&source, arena, &again, &taken, &err) &&
	       sops_item_same_values(documents, again);
}

static void print_ours(const struct world *world, const struct buf *bytes, struct buf *out)
{
	const struct sops_source source = {
		world->random.format, names[world->random.format], bytes->text, bytes->len};
	const struct sops_printing printing = printing_of(world);
	auto_sops_file struct sops_file *file = NULL;
	enum sops_failure failure;
	struct error err;
	must(sops_file_open(&source, world->keyring, &file, &failure, &err), &err);
	must(sops_file_print(file, &printing, out, &err), &err);
}

/* Standard output of sops; its log goes elsewhere, so it writes into a file. */
static void run_sops(struct world *world, const char *what, const char *in, const char *to)
{
	auto_buf struct buf out = BUF_INIT(1 << 20);
	auto_free char *path = inside(world, in);
	auto_buf struct buf text = fixture_read(path);
	int status;
	const char *const argv[] = {"sops", what, "--output", to, in, NULL};
	if (!run(world, argv, &out, &status) || status != 0)
		fail_msg("sops %s of\n%s\nsays: %s", what, text.text, out.text);
}

/* Shows where two texts part. */
static void assert_same(const struct buf *theirs, const struct buf *ours)
{
	size_t at = 0, line = 0;
	if (theirs->len == ours->len && memcmp(theirs->text, ours->text, ours->len) == 0)
		return;
	for (; at < ours->len && theirs->text[at] == ours->text[at]; at++)
		line = ours->text[at] == '\n' ? at + 1 : line;
	if (getenv("AVIARY_SEED")) {
		fprintf(stderr, "---- sops\n%s---- here\n%s----\n", theirs->text, ours->text);
	}
	fail_msg("sops:\n%.300s\nhere:\n%.300s", theirs->text + line, ours->text + line);
}

/* One document through sops and through us, both ways. */
static bool compare(struct world *world)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	const char *name = names[world->random.format];
	const struct sops_printing printing = printing_of(world);
	auto_buf struct buf plain = BUF_INIT(1 << 20), ours = BUF_INIT(1 << 22);
	auto_buf struct buf printed = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
	auto_sops_file struct sops_file *file = NULL;
	auto_free char *theirs_name = mem_printf("e.%s", name);
	auto_free char *theirs_path = inside(world, theirs_name);
	auto_free char *out_name = mem_printf("d.%s", name);
	auto_free char *out_path = inside(world, out_name);
	enum sops_failure failure;
	struct error err;
	if (!make_plain(world, arena, &plain))
		return false;
	const struct sops_source source = {world->random.format, name, plain.text, plain.len};
	must(sops_file_new(&source, &world->creation, &file, &failure, &err), &err);
	must(sops_file_write(file, &printing, &ours, &err), &err);
	write_file(world, theirs_name, &ours);
	run_sops(world, "--decrypt", theirs_name, out_name);
	print_ours(world, &ours, &printed);
	auto_buf struct buf decrypted = fixture_read(out_path);
	assert_same(&decrypted, &printed);

	write_file(world, name, &plain);
	run_sops(world, "--encrypt", name, theirs_name);
	run_sops(world, "--decrypt", theirs_name, out_name);
	auto_buf struct buf theirs = fixture_read(theirs_path);
	auto_buf struct buf their_text = fixture_read(out_path);
	print_ours(world, &theirs, &again);
	assert_same(&their_text, &again);
	return true;
}

static void sops_and_we_open_each_other_and_print_the_same(void **state)
{
	struct world *world = *state;
	unsigned compared = 0;
	if (!have(world, "sops"))
		skip();
	world->random.state = sops_random_seed();
	world->random.as_sops = true;
	for (unsigned i = 0; i < ROUNDS * 5; i++) {
		world->random.format = (enum sops_format)(i % 5);
		world->random.comments = i / 5 % 2;
		compared += compare(world);
	}
	print_message("%u documents compared with sops\n", compared);
	assert_true(compared >= ROUNDS * 3);
}

static void must_run(const struct world *world, const char *const *argv)
{
	auto_buf struct buf out = BUF_INIT(1 << 20);
	int status;
	if (!run(world, argv, &out, &status) || status != 0)
		fail_msg("%s %s: %s", argv[0], argv[1], out.text);
}

/* Three groups of which two are needed; sops and we have the first two keys. */
static void shares_of_key_groups_open_on_both_sides(void **state)
{
	struct world *world = *state;
	if (!have(world, "sops"))
		skip(); /* before anything is allocated: it does not return */
	auto_keyring struct keyring *second = keyring_generate(), *third = keyring_generate();
	auto_sops_creation struct sops_creation groups = SOPS_CREATION_INIT;
	auto_buf struct buf key = BUF_INIT_SECRET(4096), written = BUF_INIT(1 << 20);
	auto_buf struct buf printed = BUF_INIT(1 << 20);
	auto_sops_file struct sops_file *file = NULL;
	const char *const rotate[] = {"sops", "rotate", "-i", "g.yaml", NULL};
	const struct sops_source plain = {SOPS_YAML, "g.yaml", "a: 1\nb: x\n", 10};
	const struct keyring *const all[] = {world->keyring, second, third};
	enum sops_failure failure;
	struct error err;
	world->random.format = SOPS_YAML;
	const struct sops_printing printing = printing_of(world);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		keyring_recipients(all[i], sops_creation_add_group(&groups));
	groups.shamir_threshold = 2;
	keyring_write(world->keyring, &key);
	write_file(world, "one.txt", &key);
	keyring_write(second, &key);
	write_file(world, "key.txt", &key);
	must(sops_file_new(&plain, &groups, &file, &failure, &err), &err);
	must(sops_file_write(file, &printing, &written, &err), &err);
	write_file(world, "g.yaml", &written);
	run_sops(world, "--decrypt", "g.yaml", "d.g.yaml");
	must_run(world, rotate);
	auto_free char *path = inside(world, "g.yaml"), *out_path = inside(world, "d.g.yaml");
	auto_buf struct buf rotated = fixture_read(path), decrypted = fixture_read(out_path);
	assert_string_equal(decrypted.text, "a: 1\nb: x\n");
	auto_keyring struct keyring *two = NULL;
	must(keyring_read("two", key.text, key.len, &two, &err), &err);
	struct sops_source source = {SOPS_YAML, "g.yaml", rotated.text, rotated.len};
	auto_sops_file struct sops_file *opened = NULL, *none = NULL;
	must(sops_file_open(&source, two, &opened, &failure, &err), &err);
	must(sops_file_print(opened, &printing, &printed, &err), &err);
	assert_string_equal(printed.text, decrypted.text);
	assert_false(sops_file_open(&source, world->keyring, &none, &failure, &err));
	assert_int_equal(failure, SOPS_NO_KEY);
}

/* The same changes, by sops and here, give the same plain text. */
static void changes_by_sops_and_here_are_the_same(void **state)
{
	struct world *world = *state;
	static const char *const changes[][2] = {{"[\"new\"]", "\"v\""}, {"[\"n\"]", "42"},
		{"[\"f\"]", "1.5"}, {"[\"m\"]", "{\"x\": 1, \"y\": [true, null, 2.5]}"},
		{"[\"a\"][\"b\"]", "\"deep\""}, {"[\"l\"][0]", "\"first\""},
		{"[\"l\"][9]", "\"last\""}, {"[\"t\"]", "true"}};
	static const char text[] = "a: {c: 1}\nl: [x, y]\ngone: 1\n";
	const struct sops_source plain = {SOPS_YAML, "c.yaml", text, sizeof(text) - 1};
	auto_buf struct buf written = BUF_INIT(1 << 20), printed = BUF_INIT(1 << 20);
	auto_sops_file struct sops_file *file = NULL;
	enum sops_failure failure;
	struct error err;
	bool changed;
	if (!have(world, "sops"))
		skip();
	world->random.format = SOPS_YAML;
	const struct sops_printing printing = printing_of(world);
	must(sops_file_new(&plain, &world->creation, &file, &failure, &err), &err);
	must(sops_file_write(file, &printing, &written, &err), &err);
	write_file(world, "c.yaml", &written);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		const char *const argv[] = {
			"sops", "set", "c.yaml", changes[i][0], changes[i][1], NULL};
		const struct sops_text json = {changes[i][1], strlen(changes[i][1])};
		must_run(world, argv);
		must(sops_file_set(file, changes[i][0], json, &changed, &err), &err);
	}
	const char *const unset[] = {"sops", "unset", "c.yaml", "[\"gone\"]", NULL};
	must_run(world, unset);
	must(sops_file_unset(file, "[\"gone\"]", &err), &err);
	run_sops(world, "--decrypt", "c.yaml", "d.c.yaml");
	auto_free char *path = inside(world, "c.yaml"), *out_path = inside(world, "d.c.yaml");
	auto_buf struct buf theirs = fixture_read(path), decrypted = fixture_read(out_path);
	auto_buf struct buf ours = BUF_INIT(1 << 20);
	print_ours(world, &theirs, &ours);
	must(sops_file_print(file, &printing, &printed, &err), &err);
	assert_same(&decrypted, &ours);
	assert_same(&decrypted, &printed);
}

/* A new SSH key in the folder, and a world whose only key it is. False: no ssh-keygen. */
static bool make_ssh_world(const struct world *world, const char *type, struct world *ssh)
{
	auto_buf struct buf said = BUF_INIT(1 << 16);
	auto_free char *name = mem_printf("id_of_%s", type), *path = inside(world, name);
	auto_free char *public_path = mem_printf("%s.pub", path);
	const char *const argv[] = {
		"ssh-keygen", "-q", "-t", type, "-N", "", "-C", "eva@home", "-f", name, NULL};
	struct error err;
	int status;
	if (!run(world, argv, &said, &status) || status != 0)
		return false;
	auto_buf struct buf key = fixture_read(path), line = fixture_read(public_path);
	buf_truncate(&line, line.len - 1); /* its line end */
	const struct age_source source = {name, key.text, key.len, NULL};
	const struct keyring_sources sources = {.more = &source, .more_count = 1};
	*ssh = (struct world){.folder = world->folder};
	ssh->random.state = sops_random_seed();
	ssh->random.as_sops = true;
	must(keyring_load_sources(&sources, &ssh->keyring, NULL, &err), &err);
	strlist_add(sops_creation_add_group(&ssh->creation), line.text);
	ssh->environment[0] = mem_printf("PATH=%s", getenv("PATH"));
	ssh->environment[1] = mem_printf("HOME=%s", world->folder);
	ssh->environment[2] = mem_printf("SOPS_AGE_SSH_PRIVATE_KEY_FILE=%s", path);
	ssh->environment[3] = mem_printf("SOPS_AGE_RECIPIENTS=%s", line.text);
	return true;
}

static void clear_ssh_world(struct world *ssh)
{
	keyring_free(ssh->keyring);
	sops_creation_clear(&ssh->creation);
	for (size_t i = 0; i < ARRAY_LEN(ssh->environment); i++)
		free(ssh->environment[i]);
}

static void files_for_ssh_keys_open_on_both_sides(void **state)
{
	struct world *world = *state;
	static const char *const types[] = {"ed25519", "rsa"};
	if (!have(world, "sops"))
		skip();
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct world ssh;
		unsigned compared = 0;
		if (!make_ssh_world(world, types[i], &ssh))
			fail_msg("ssh-keygen makes no key of type %s", types[i]);
		for (unsigned k = 0; k < SSH_ROUNDS * 5; k++) {
			ssh.random.format = (enum sops_format)(k % 5);
			compared += compare(&ssh);
		}
		print_message("%s: %u documents compared with sops\n", types[i], compared);
		assert_true(compared >= SSH_ROUNDS * 3);
		clear_ssh_world(&ssh);
	}
}

/* `age` and we, for SSH keys. */
static void age_opens_what_is_written_for_ssh_keys(void **state)
{
	struct world *world = *state;
	static const char *const types[] = {"ed25519", "rsa"};
	static const char text[] = "attack at dawn";
	if (!have(world, "age"))
		skip();
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct world ssh;
		auto_buf struct buf file = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);
		auto_free char *name = mem_printf("id_of_%s", types[i]);
		auto_free char *key = inside(world, name), *lock = mem_printf("%s.pub", key);
		const char *const argv[] = {"age", "-d", "-i", name, "ssh.age", NULL};
		struct error err;
		int status;
		(void)unlink(key); /* of the test before, if it ran */
		(void)unlink(lock);
		if (!make_ssh_world(world, types[i], &ssh))
			fail_msg("ssh-keygen makes no key of type %s", types[i]);
		must(age_encrypt_to(
			     ssh.creation.groups[0].items[0], text, strlen(text), &file, &err),
			&err);
		write_file(world, "ssh.age", &file);
		assert_true(run(world, argv, &out, &status));
		assert_int_equal(status, 0);
		assert_string_equal(out.text, text);
		clear_ssh_world(&ssh);
	}
}

static void age_opens_what_is_written_here(void **state)
{
	struct world *world = *state;
	auto_buf struct buf file = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);
	const char *text = "attack at dawn";
	const char *const argv[] = {"age", "-d", "-i", "key.txt", "file.age", NULL};
	struct error err;
	int status;
	if (!have(world, "age"))
		skip();
	must(age_encrypt_to(world->creation.groups[0].items[0], text, strlen(text), &file, &err),
		&err);
	write_file(world, "file.age", &file);
	assert_true(run(world, argv, &out, &status));
	assert_int_equal(status, 0);
	assert_string_equal(out.text, text);
}

static void what_age_writes_opens_here(void **state)
{
	struct world *world = *state;
	auto_buf struct buf plain = BUF_INIT(1 << 20), said = BUF_INIT(1 << 20);
	auto_buf struct buf out = BUF_INIT_SECRET(1 << 20);
	const char *const argv[] = {"age", "-a", "-r", world->creation.groups[0].items[0], "-o",
		"made.age", "plain", NULL};
	struct error err;
	enum age_failure failure;
	int status;
	if (!have(world, "age"))
		skip();
	for (size_t i = 0; i < 70000; i++)
		buf_add_char(&plain, (char)('a' + i % 26));
	write_file(world, "plain", &plain);
	assert_true(run(world, argv, &said, &status));
	assert_int_equal(status, 0);
	auto_free char *path = inside(world, "made.age");
	auto_buf struct buf made = fixture_read(path);
	const struct age_file file = {made.text, made.len, true};
	must(age_decrypt(&file, keyring_identities(world->keyring), &out, &failure, &err), &err);
	assert_string_equal(out.text, plain.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sops_and_we_open_each_other_and_print_the_same),
		cmocka_unit_test(changes_by_sops_and_here_are_the_same),
		cmocka_unit_test(files_for_ssh_keys_open_on_both_sides),
		cmocka_unit_test(age_opens_what_is_written_for_ssh_keys),
		cmocka_unit_test(age_opens_what_is_written_here),
		cmocka_unit_test(what_age_writes_opens_here),
		cmocka_unit_test(shares_of_key_groups_open_on_both_sides), /* adds a key */
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
