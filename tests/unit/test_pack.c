/* Packs of batches and of the whole mirror: what real git says of them, and what a kill leaves. */
#include "base/exec.h"
#include "base/fs.h"
#include "git/commit.h"
#include "git/pack.h"
#include "git/tree.h"
#include "tests/lib/gitrepo.h"
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>
/* after the headers above, as it says itself */
#include <cmocka.h>

#define CLIENTS 300

static struct error err;
static char *scratch, *mirror;
static struct repo *repo;
static struct oid tip; /* refs/heads/main */
static int turn;

static int set_up(void **state)
{
	(void)state;
	scratch = gitrepo_scratch();
	mirror = mem_printf("%s/mirror.git", scratch);
	tip = (struct oid){{0}};
	turn = 0;
	return repo_open_mirror(mirror, &repo, &err) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	repo_free(repo);
	free(mirror);
	gitrepo_remove(scratch);
	return 0;
}

/* A commit of one client's file on the tip; the first one has all clients. */
static void commit_one(struct repo *into)
{
	const struct commit_author author = {"Aviary", "aviary@example.org", 1800000000 + turn};
	auto_strlist struct strlist paths = STRLIST_INIT;
	auto_strlist struct strlist texts = STRLIST_INIT;
	struct commit_change changes[CLIENTS];
	size_t count = tip.hex[0] ? 1 : CLIENTS;
	for (size_t i = 0; i < count; i++) {
		size_t client = count > 1 ? i : (size_t)turn * 37 % CLIENTS;
		strlist_addf(&paths, "clients/client-%zu.yaml", client);
		strlist_addf(&texts, "client: client-%zu\nturn: %d\n", client, turn);
	}
	for (size_t i = 0; i < count; i++)
		changes[i] = (struct commit_change){
			paths.items[i], texts.items[i], strlen(texts.items[i])};
	turn++;
	if (!commit_create(into, &tip, changes, count, "fact\n", &author, &tip, &err))
		fail_msg("%s", err.message);
}

static void move_main(void)
{
	struct oid old = {{0}};
	if (!repo_ref(repo, "refs/heads/main", &old, &err))
		assert_int_equal(err.code, ERR_NOT_FOUND);
	if (!repo_ref_set(repo, "refs/heads/main", &tip, &old, &err))
		fail_msg("%s", err.message);
}

static void add_batch(int facts)
{
	auto_repo struct repo *batch = NULL;
	if (!pack_batch_open(repo, &batch, &err))
		fail_msg("%s", err.message);
	for (int i = 0; i < facts; i++)
		commit_one(batch);
	if (!pack_batch_write(batch, &err))
		fail_msg("%s", err.message);
	move_main();
}

static void add_loose(int facts)
{
	for (int i = 0; i < facts; i++)
		commit_one(repo);
	move_main();
}

static void pack_it(void)
{
	if (!pack_mirror(repo, &err))
		fail_msg("%s", err.message);
}

static int count_files(const char *folder, const char *suffix)
{
	auto_free char *path = mem_printf("%s/objects/%s", mirror, folder);
	DIR *opened = opendir(path);
	int count = 0;
	for (struct dirent *entry; opened && (entry = readdir(opened));) {
		size_t len = strlen(entry->d_name), end = strlen(suffix);
		count += entry->d_name[0] != '.' && len >= end &&
			 !strcmp(entry->d_name + len - end, suffix);
	}
	if (opened)
		closedir(opened);
	return count;
}

static int count_loose(void)
{
	int count = 0;
	for (int i = 0; i < 256; i++) {
		char name[3];
		(void)snprintf(name, sizeof(name), "%02x", i);
		count += count_files(name, "");
	}
	return count;
}

/* All commits that were made, whole, as git(1) sees them. */
static void assert_whole(void)
{
	auto_free char *commits = GIT_TEXT(mirror, "rev-list", "--count", "main");
	GIT(mirror, "fsck", "--full", "--strict", "--no-dangling");
	assert_int_equal(strtol(commits, NULL, 10), turn);
}

static void a_batch_is_one_pack_that_git_takes(void **state)
{
	(void)state;
	add_batch(40);
	assert_int_equal(count_files("pack", ".pack"), 1);
	assert_int_equal(count_loose(), 0);
	assert_whole();
	add_batch(1);
	assert_int_equal(count_files("pack", ".pack"), 2);
	assert_whole();
}

static void a_batch_reads_what_it_has_not_written(void **state)
{
	(void)state;
	auto_repo struct repo *batch = NULL;
	struct commit_info info = {0};
	assert_true(pack_batch_open(repo, &batch, &err));
	commit_one(batch);
	assert_true(repo_has_commit(batch, &tip));
	assert_false(repo_has_commit(repo, &tip));
	assert_true(pack_batch_write(batch, &err));
	assert_true(repo_has_commit(repo, &tip));
	assert_true(commit_read(batch, &tip, &info, &err));
	assert_string_equal(info.subject, "fact");
	commit_info_clear(&info);
}

static void an_empty_batch_writes_nothing(void **state)
{
	(void)state;
	auto_repo struct repo *batch = NULL;
	assert_true(pack_batch_open(repo, &batch, &err));
	assert_true(pack_batch_write(batch, &err));
	assert_int_equal(count_files("pack", ""), 0);
}

static size_t pack_bytes(void)
{
	auto_free char *path = mem_printf("%s/objects/pack", mirror);
	DIR *opened = opendir(path);
	size_t bytes = 0;
	for (struct dirent *entry; opened && (entry = readdir(opened));) {
		struct stat info;
		if (strstr(entry->d_name, ".pack") &&
			fstatat(dirfd(opened), entry->d_name, &info, 0) == 0)
			bytes += (size_t)info.st_size;
	}
	if (opened)
		closedir(opened);
	return bytes;
}

/* A fact tells its change and not all clients: a tree of them has 8,000 bytes when packed. */
static void facts_cost_what_they_change(void **state)
{
	(void)state;
	add_batch(1);
	size_t before = pack_bytes();
	add_batch(100);
	assert_true(pack_bytes() - before < 10000 + 100 * 400);
}

/* The whole trees of many batches become deltas as well. */
static void one_pack_of_many_tells_all_clients_once(void **state)
{
	(void)state;
	for (int i = 0; i < 17; i++)
		add_batch(1);
	assert_true(pack_bytes() > 17 * 6000);
	pack_it();
	assert_true(pack_bytes() < 2 * 10000 + 17 * 500);
	assert_whole();
}

static void many_packs_and_loose_objects_become_few(void **state)
{
	(void)state;
	for (int i = 0; i < 40; i++) {
		add_batch(3);
		pack_it();
		assert_true(count_files("pack", ".pack") <= 17);
	}
	add_loose(100);
	assert_true(count_loose() > 256);
	pack_it();
	assert_int_equal(count_loose(), 0);
	assert_true(count_files("pack", ".pack") <= 16);
	assert_int_equal(count_files("pack", ".pack"), count_files("pack", ".idx"));
	assert_int_equal(count_files("pack", "") % 2, 0); /* nothing else lies there */
	assert_whole();
}

static void packs_of_git_are_merged_too(void **state)
{
	(void)state;
	add_batch(1);
	for (int i = 0; i < 17; i++) {
		add_loose(5);
		GIT(mirror, "repack", "-q", "-d");
	}
	pack_it();
	assert_true(count_files("pack", ".pack") < 17);
	assert_whole();
}

static void few_packs_are_left_alone(void **state)
{
	(void)state;
	add_batch(2);
	add_batch(2);
	pack_it();
	assert_int_equal(count_files("pack", ".pack"), 2);
}

static void an_older_handle_finds_what_was_packed_meanwhile(void **state)
{
	(void)state;
	auto_repo struct repo *other = NULL;
	auto_tree struct tree *tree = NULL;
	add_batch(2);
	assert_true(repo_reopen(repo, &other, &err));
	assert_true(repo_has_commit(other, &tip)); /* has seen the packs */
	for (int i = 0; i < 18; i++)
		add_batch(2);
	assert_true(tree_open_commit(other, &tip, &tree, &err));
	pack_it();
	assert_true(count_files("pack", ".pack") < 17);
	for (int i = 0; i < CLIENTS; i++) {
		auto_buf struct buf text = BUF_INIT(1000);
		auto_free char *path = mem_printf("clients/client-%d.yaml", i);
		if (!tree_read(tree, path, &text, NULL, &err))
			fail_msg("%s", err.message);
	}
	for (struct oid at = tip; at.hex[0];) {
		struct commit_info info = {0};
		if (!commit_read(other, &at, &info, &err))
			fail_msg("%s", err.message);
		at = info.parent;
		commit_info_clear(&info);
	}
}

static void damage_a_pack(void)
{
	auto_free char *path = mem_printf("%s/objects/pack", mirror);
	DIR *opened = opendir(path);
	assert_non_null(opened);
	for (struct dirent *entry; (entry = readdir(opened));) {
		if (!strstr(entry->d_name, ".pack"))
			continue;
		assert_int_equal(fchmodat(dirfd(opened), entry->d_name, 0600, 0), 0);
		auto_fd int fd = openat(dirfd(opened), entry->d_name, O_WRONLY | O_CLOEXEC);
		assert_int_equal(pwrite(fd, "XYZ", 3, 40), 3);
		break;
	}
	closedir(opened);
}

static void a_damaged_pack_is_told_and_nothing_is_removed(void **state)
{
	(void)state;
	for (int i = 0; i < 17; i++)
		add_batch(1);
	damage_a_pack();
	assert_false(pack_mirror(repo, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(count_files("pack", ".pack"), 17);
	assert_int_equal(count_files("pack", ".idx"), 17);
}

/* A process that ends itself before its n-th change of the disk. Returns false if it needs fewer.
 */
static bool killed_while_packing(int point)
{
	auto_free char *fault = mem_printf("AVIARY_FAULT=kill:%d", point);
	auto_free char *where = mem_printf("TEST_PACK_MIRROR=%s", mirror);
	const char *const argv[] = {"/proc/self/exe", NULL};
	const char *const env[] = {fault, where, NULL};
	struct exec_request request = EXEC_REQUEST_INIT;
	struct exec_result result;
	request.argv = argv;
	request.environ_ = env;
	if (!exec_run(&request, &result, &err))
		fail_msg("%s", err.message);
	bool killed = result.signal == SIGKILL;
	if (!killed && result.exit_status)
		fail_msg("%s", result.output.text);
	exec_result_clear(&result);
	return killed;
}

static int pack_and_leave(void)
{
	return repo_library_init(&err) &&
			       repo_open_mirror(getenv("TEST_PACK_MIRROR"), &repo, &err) &&
			       pack_mirror(repo, &err)
		       ? 0
		       : 1;
}

static void killed_at_any_point_leaves_a_mirror_that_works(void **state)
{
	(void)state;
	int point = 1;
	for (;; point++) {
		for (int i = count_files("pack", ".idx"); i <= 16; i++)
			add_batch(1);
		if (!killed_while_packing(point))
			break;
		repo_free(repo);
		assert_true(repo_open_mirror(mirror, &repo, &err)); /* as the next start does */
		assert_whole();
	}
	assert_true(point > 10); /* pack, index and each pack that goes */
	pack_it();
	assert_int_equal(count_files("pack", ".pack"), count_files("pack", ".idx"));
	assert_whole();
}

int main(void)
{
	if (getenv("TEST_PACK_MIRROR"))
		return pack_and_leave();
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(a_batch_is_one_pack_that_git_takes),
		CASE(a_batch_reads_what_it_has_not_written),
		CASE(an_empty_batch_writes_nothing),
		CASE(facts_cost_what_they_change),
		CASE(one_pack_of_many_tells_all_clients_once),
		CASE(many_packs_and_loose_objects_become_few),
		CASE(packs_of_git_are_merged_too),
		CASE(few_packs_are_left_alone),
		CASE(an_older_handle_finds_what_was_packed_meanwhile),
		CASE(a_damaged_pack_is_told_and_nothing_is_removed),
		CASE(killed_at_any_point_leaves_a_mirror_that_works),
	};
	return cmocka_run_group_tests(tests, gitrepo_begin, gitrepo_end);
}
