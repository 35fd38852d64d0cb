#include "git/commit.h"
#include "tests/lib/gitrepo.h"
#include <setjmp.h>
#include <stdarg.h>
/* after the headers above, as it says itself */
#include <cmocka.h>

static struct error err;
static char *scratch;
static struct repo *repo;
static struct oid head;

static const struct commit_author author = {"Aviary", "aviary@localhost", 1700000000};

static struct oid oid_of(char *hex)
{
	struct oid id = {0};
	assert_true(oid_valid(hex));
	memcpy(id.hex, hex, OID_HEX);
	free(hex);
	return id;
}

static int set_up(void **state)
{
	(void)state;
	memset(&err, 0, sizeof(err));
	scratch = gitrepo_scratch();
	gitrepo_make(scratch);
	gitrepo_write(scratch, "clients/alpha.yaml", "state: healthy\n");
	gitrepo_write(scratch, "clients/beta.yaml", "state: healthy\n");
	GIT(scratch, "add", "-A");
	GIT(scratch, "commit", "-q", "-m", "clients");
	head = oid_of(GIT_TEXT(scratch, "rev-parse", "HEAD"));
	return repo_discover(scratch, &repo, &err) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	repo_free(repo);
	repo = NULL;
	gitrepo_remove(scratch);
	return 0;
}

static struct commit_change change(const char *path, const char *text)
{
	return (struct commit_change){path, text, text ? strlen(text) : 0};
}

static void a_commit_adds_replaces_and_removes_files_and_nothing_else(void **state)
{
	(void)state;
	const struct commit_change changes[] = {
		change("clients/alpha.yaml", "state: failed\n"),
		change("clients/beta.yaml", NULL),
		change("clients/missing.yaml", NULL),
		change("rollouts/2026/a.yaml", "id: a\n"),
		change("empty", ""),
	};
	struct oid id;

	assert_true(commit_create(repo, &head, changes, ARRAY_LEN(changes), "deploy(alpha): x\n",
		&author, &id, &err));
	auto_free char *status = GIT_TEXT(scratch, "diff", "--name-status", head.hex, id.hex);
	assert_string_equal(status, "M\tclients/alpha.yaml\nD\tclients/beta.yaml\nA\tempty\n"
				    "A\trollouts/2026/a.yaml");
	auto_free char *revision = mem_printf("%s^", id.hex);
	auto_free char *parent = GIT_TEXT(scratch, "rev-parse", revision);
	assert_string_equal(parent, head.hex);
	auto_free char *branch = GIT_TEXT(scratch, "rev-parse", "main");
	assert_string_equal(branch, head.hex); /* no reference moved */
	GIT(scratch, "fsck", "--strict");
}

static void a_folder_that_loses_its_last_file_goes(void **state)
{
	(void)state;
	const struct commit_change changes[] = {
		change("clients/alpha.yaml", NULL), change("clients/beta.yaml", NULL)};
	struct oid id;

	assert_true(commit_create(repo, &head, changes, 2, "gone\n", &author, &id, &err));
	auto_free char *names = GIT_TEXT(scratch, "ls-tree", "--name-only", id.hex);
	assert_string_equal(names, "README.md");
}

static void an_orphan_starts_with_no_parent(void **state)
{
	(void)state;
	const struct commit_change changes[] = {change("README.md", "what this is\n")};
	struct oid none = {0}, id;

	assert_true(commit_create(repo, &none, changes, 1, "start\n", &author, &id, &err));
	auto_free char *raw = GIT_TEXT(scratch, "cat-file", "-p", id.hex);
	assert_null(strstr(raw, "\nparent"));
	assert_non_null(strstr(raw, "author Aviary <aviary@localhost> 1700000000 +0000"));
	auto_free char *names = GIT_TEXT(scratch, "ls-tree", "-r", "--name-only", id.hex);
	assert_string_equal(names, "README.md");
}

static void a_commit_without_changes_keeps_the_tree(void **state)
{
	(void)state;
	auto_commit_info struct commit_info before = {0};
	auto_commit_info struct commit_info after = {0};
	struct oid id;

	assert_true(commit_create(repo, &head, NULL, 0, "same\n", &author, &id, &err));
	assert_true(commit_read(repo, &head, &before, &err));
	assert_true(commit_read(repo, &id, &after, &err));
	assert_string_equal(before.tree.hex, after.tree.hex);
}

static void paths_that_leave_the_tree_or_hold_control_characters_are_refused(void **state)
{
	(void)state;
	static const char *const paths[] = {"../x", "/x", "a//b", "a/../b", ".git/config",
		"a/.GIT/x", "", "a/", "a\nb", "./a", "a\x7f"};
	struct oid id;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct commit_change one = change(paths[i], "text");
		assert_false(commit_create(repo, &head, &one, 1, "no\n", &author, &id, &err));
		assert_int_equal(err.code, ERR_REFUSED);
	}
}

static void one_path_changed_twice_is_an_error(void **state)
{
	(void)state;
	const struct commit_change changes[] = {
		change("x", "1"), change("y", "2"), change("x", "3")};
	struct oid id;

	assert_false(commit_create(repo, &head, changes, 3, "no\n", &author, &id, &err));
	assert_non_null(strstr(err.message, "'x' is changed twice"));
}

static void a_parent_that_is_not_here_is_an_error(void **state)
{
	(void)state;
	struct oid absent = {.hex = "0123456789abcdef0123456789abcdef01234567"}, id;

	assert_false(commit_create(repo, &absent, NULL, 0, "no\n", &author, &id, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

/* Each message is read back by git and by us; `wanted` is what `git interpret-trailers --parse`
 * prints. */
static void trailers_are_read_by_git_and_by_us_as_they_were_written(void **state)
{
	(void)state;
	static const struct {
		const char *subject, *body;
		struct trailer trailers[4];
		const char *wanted;
	} cases[] = {
		{"deploy(alpha): x", NULL, {{"Client", "alpha"}, {"Stage", "canary"}},
			"Client: alpha\nStage: canary"},
		{"with a body", "Some words\nof text.", {{"Client", "alpha"}}, "Client: alpha"},
		{"body of key and value", "Evil: yes", {{"Client", "alpha"}}, "Client: alpha"},
		{"body with a divider", "text\n---\nmore", {{"Client", "alpha"}}, "Client: alpha"},
		{"empty values go", NULL,
			{{"A", ""}, {"Client", "alpha"}, {"B", NULL}, {"C", " \t"}},
			"Client: alpha"},
		{"line breaks", NULL, {{"Reason", "a\nClient: evil\r\nb"}},
			"Reason: a Client: evil  b"},
		{"repeated", NULL, {{"Reason", "one"}, {"Reason", "two"}},
			"Reason: one\nReason: two"},
		{"colons: and more: of them", NULL, {{"Reason", "x: y: z"}}, "Reason: x: y: z"},
		{"UTF-8", NULL, {{"Author", "J\xC3\xBCrgen \xE2\x82\xAC"}},
			"Author: J\xC3\xBCrgen \xE2\x82\xAC"},
		{"torn UTF-8, C1", NULL, {{"Author", "J\xC3|\xC2\x9B|"}}, "Author: J | |"},
		{"two\nlines", NULL, {{"Client", "alpha"}}, "Client: alpha"},
		{"", NULL, {{"Client", "alpha"}}, "Client: alpha"},
		{"no trailers", "Just: text\nnot: a trailer block, as this line is text\nend",
			{{0}}, ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf struct buf message = BUF_INIT(10000);
		auto_buf struct buf ours = BUF_INIT(10000);
		auto_commit_info struct commit_info info = {0};
		size_t count = 0;
		struct oid id;

		while (count < 4 && cases[i].trailers[count].key)
			count++;
		commit_message(cases[i].subject, cases[i].body, cases[i].trailers, count, &message);
		static const char *const parse[] = {"interpret-trailers", "--parse", NULL};
		auto_free char *theirs = gitrepo_git_input(scratch, message.text, parse);
		assert_string_equal(theirs, cases[i].wanted);

		assert_true(commit_create(repo, &head, NULL, 0, message.text, &author, &id, &err));
		assert_true(commit_read(repo, &id, &info, &err));
		for (size_t k = 0; k < info.trailer_keys.count; k++)
			buf_addf(&ours, "%s%s: %s", k ? "\n" : "", info.trailer_keys.items[k],
				info.trailer_values.items[k]);
		assert_string_equal(ours.text, cases[i].wanted);
		auto_free char *log =
			GIT_TEXT(scratch, "log", "-1", "--format=%(trailers:only,unfold)", id.hex);
		assert_int_equal(strncmp(log, cases[i].wanted, strlen(cases[i].wanted)), 0);
	}
}

static void the_subject_is_one_line(void **state)
{
	(void)state;
	auto_buf struct buf message = BUF_INIT(1000);

	commit_message(" a\nb\tc\x1b[31m ", NULL, NULL, 0, &message);
	assert_string_equal(message.text, "a b c [31m\n");
}

static void what_a_commit_says_is_read(void **state)
{
	(void)state;
	auto_commit_info struct commit_info info = {0};
	struct oid id;

	assert_true(commit_create(repo, &head, NULL, 0,
		"deploy(alpha): nextcloud 1 -> 2: started\n\nbody\n\n"
		"Client: alpha\nResult: started\n",
		&author, &id, &err));
	assert_true(commit_read(repo, &id, &info, &err));
	assert_string_equal(info.id.hex, id.hex);
	assert_string_equal(info.parent.hex, head.hex);
	assert_int_equal(info.parents, 1);
	assert_string_equal(info.subject, "deploy(alpha): nextcloud 1 -> 2: started");
	assert_string_equal(info.author, "Aviary <aviary@localhost>");
	assert_string_equal(info.author_name, "Aviary");
	assert_int_equal(info.wall_s, 1700000000);
	assert_string_equal(commit_trailer(&info, "client"), "alpha");
	assert_string_equal(commit_trailer(&info, "RESULT"), "started");
	assert_null(commit_trailer(&info, "Stage"));
}

static void a_tag_is_annotated_and_never_moves(void **state)
{
	(void)state;
	auto_commit_info struct commit_info info = {0};
	const char *name = "rollback/alpha/20261124-101542-1234567";

	assert_true(commit_tag(repo, name, &head, "known good\n", &author, &err));
	auto_free char *full = mem_printf("refs/tags/%s", name);
	auto_free char *type = GIT_TEXT(scratch, "cat-file", "-t", full);
	assert_string_equal(type, "tag");
	struct oid tag = oid_of(GIT_TEXT(scratch, "rev-parse", full));

	assert_true(commit_tag(repo, name, &head, "again\n", &author, &err)); /* same commit */
	struct oid same = oid_of(GIT_TEXT(scratch, "rev-parse", full));
	assert_string_equal(same.hex, tag.hex);

	assert_true(commit_read(repo, &head, &info, &err));
	assert_false(commit_tag(repo, name, &info.parent, "elsewhere\n", &author, &err));
	assert_int_equal(err.code, ERR_REJECTED);
	struct oid still = oid_of(GIT_TEXT(scratch, "rev-parse", full));
	assert_string_equal(still.hex, tag.hex);
	assert_false(commit_tag(repo, "no good..name", &head, "x\n", &author, &err));
}

static bool count_until_three(void *data, const struct commit_info *info)
{
	(void)info;
	return ++*(int *)data < 3;
}

static bool count_all(void *data, const struct commit_info *info)
{
	assert_null(strstr(info->subject, "side"));
	++*(int *)data;
	return true;
}

static void a_walk_follows_first_parents_until_it_is_told_to_stop(void **state)
{
	(void)state;
	int visited = 0;

	GIT(scratch, "checkout", "-q", "-b", "side");
	GIT(scratch, "commit", "-q", "--allow-empty", "-m", "side");
	GIT(scratch, "checkout", "-q", "main");
	GIT(scratch, "commit", "-q", "--allow-empty", "-m", "third");
	GIT(scratch, "merge", "-q", "--no-ff", "-m", "merge", "side");
	struct oid tip = oid_of(GIT_TEXT(scratch, "rev-parse", "HEAD"));
	assert_true(commit_walk(repo, &tip, count_all, &visited, &err));
	assert_int_equal(visited, 4);
	visited = 0;
	assert_true(commit_walk(repo, &tip, count_until_three, &visited, &err));
	assert_int_equal(visited, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		CASE(a_commit_adds_replaces_and_removes_files_and_nothing_else),
		CASE(a_folder_that_loses_its_last_file_goes),
		CASE(an_orphan_starts_with_no_parent),
		CASE(a_commit_without_changes_keeps_the_tree),
		CASE(paths_that_leave_the_tree_or_hold_control_characters_are_refused),
		CASE(one_path_changed_twice_is_an_error),
		CASE(a_parent_that_is_not_here_is_an_error),
		CASE(trailers_are_read_by_git_and_by_us_as_they_were_written),
		CASE(the_subject_is_one_line),
		CASE(what_a_commit_says_is_read),
		CASE(a_tag_is_annotated_and_never_moves),
		CASE(a_walk_follows_first_parents_until_it_is_told_to_stop),
	};
	return cmocka_run_group_tests_name("commit", tests, gitrepo_begin, gitrepo_end);
}
