/* Deliveries written for this project; the table of answers of the forges' specification, row by
 * row. Deliveries of real forges: tests/e2e/webhook_cases.py. */
#include "tests/lib/delivery.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define A      "1111111111111111111111111111111111111111"
#define B      "2222222222222222222222222222222222222222"
#define ZERO   "0000000000000000000000000000000000000000"
#define LONG_A A "111111111111111111111111"
#define LONG_B B "222222222222222222222222"

#define GIT_PUSH(ref, before, after, repo)                                                         \
	"{\"ref\":\"" ref "\",\"before\":\"" before "\",\"after\":\"" after                        \
	"\",\"repository\":{\"full_name\":\"" repo "\"}}"
#define LAB_PUSH(ref, before, after, repo)                                                         \
	"{\"object_kind\":\"push\",\"event_name\":\"push\",\"ref\":\"" ref                         \
	"\",\"before\":\"" before "\",\"after\":\"" after                                          \
	"\",\"project\":{\"path_with_namespace\":\"" repo "\"}}"
#define MAIN_PUSH GIT_PUSH("refs/heads/main", A, B, "org/infra")

/* A line of a table; the compiler then knows that the rest is left out on purpose. */
#define ROW(...)                                                                                   \
	{                                                                                          \
		__VA_ARGS__, .end = 0                                                              \
	}

/* ---- pushes -----------------------------------------------------------------------------------
 */

static void a_push_of_one_ref_is_judged_alike_by_four_forges(void **state)
{
	(void)state;
	static const struct {
		const char *ref, *before, *after, *repo;
		int status;
		const char *says;
	} rows[] = {
		{"refs/heads/main", A, B, "org/infra", 202, NULL},
		{"refs/heads/main", ZERO, B, "org/infra", 202, NULL},
		{"refs/heads/main", LONG_A, LONG_B, "org/infra", 202, NULL},
		{"refs/heads/main", A, B, "ORG/Infra", 202, NULL},
		{"refs/tags/approve/20261124-101542-abc1234", ZERO, B, "org/infra", 202, NULL},
		{"refs/heads/main", A, ZERO, "org/infra", 204, "branch-deleted"},
		{"refs/heads/main", A, A, "org/infra", 204, "nothing-moved"},
		{"refs/heads/main", ZERO, ZERO, "org/infra", 204, "nothing-moved"},
		{"refs/heads/deployments", A, B, "org/infra", 204, "status-branch"},
		{"refs/heads/Main", A, B, "org/infra", 204, "other-branch"},
		{"refs/heads/feature/main", A, B, "org/infra", 204, "other-branch"},
		{"refs/heads/mai", A, B, "org/infra", 204, "other-branch"},
		{"refs/heads/x;$(id)`%s%n<b>{{y}}|&'\xC3\xBC", A, B, "org/infra", 204,
			"other-branch"},
		{"refs/tags/main", A, B, "org/infra", 204, "tag"},
		{"refs/tags/approve/x", A, ZERO, "org/infra", 204, "tag-deleted"},
		{"refs/notes/commits", A, B, "org/infra", 204, "other-ref"},
		{"refs/heads/main", A, B, "other/infra", 204, "other-repository"},
		{"refs/heads/main", A, B, "infra", 204, "other-repository"},
		{"refs/heads/main", A, B, "deep/org/infra", 204, "other-repository"},
		{"main", A, B, "org/infra", 400, "ref"},
		{"refs/heads/", A, B, "org/infra", 400, "ref"},
		{"refs/heads/main\\r\\nX-Injected: 1", A, B, "org/infra", 400, "ref"},
		{"refs/heads/a..b", A, B, "org/infra", 400, "ref"},
		{"refs/heads/a//b", A, B, "org/infra", 400, "ref"},
		{"refs/heads/.a", A, B, "org/infra", 400, "ref"},
		{"refs/heads/a.lock", A, B, "org/infra", 400, "ref"},
		{"refs/heads/a.", A, B, "org/infra", 400, "ref"},
		{"refs/heads/a@{1}", A, B, "org/infra", 400, "ref"},
		{"refs/heads/a b", A, B, "org/infra", 400, "ref"},
		{"refs/heads/main\\u0000x", A, B, "org/infra", 400, "NUL"},
		{"refs/heads/main", "2222", B, "org/infra", 400, "object id"},
		{"refs/heads/main", A, "G111111111111111111111111111111111111111", "org/infra", 400,
			"object id"},
		{"refs/heads/main", A, LONG_B, "org/infra", 400, "differ in length"},
	};
	for (int forge = WEBHOOK_GITHUB; forge <= WEBHOOK_FORGEJO; forge++) {
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			bool lab = forge == WEBHOOK_GITLAB;
			auto_free char *body = mem_printf(lab ? LAB_PUSH("%s", "%s", "%s", "%s")
							      : GIT_PUSH("%s", "%s", "%s", "%s"),
				rows[i].ref, rows[i].before, rows[i].after, rows[i].repo);
			struct delivery_trial trial = {.name = rows[i].ref,
				.forge = (enum webhook_forge)forge,
				.body = body,
				.status = rows[i].status,
				.says = rows[i].says};
			assert_true(delivery_run(&trial, 1));
		}
	}
}

static void a_deleted_tracked_branch_is_told(void **state)
{
	(void)state;
	struct delivery_trial trial = {
		.forge = WEBHOOK_GITHUB, .body = GIT_PUSH("refs/heads/main", A, ZERO, "org/infra")};
	struct webhook_verdict verdict;
	delivery_judge(&trial, &delivery_tracked, &verdict);
	assert_true(verdict.tracked_deleted);
	trial.body = GIT_PUSH("refs/heads/other", A, ZERO, "org/infra");
	delivery_judge(&trial, &delivery_tracked, &verdict);
	assert_false(verdict.tracked_deleted);
}

static void a_status_branch_that_is_the_tracked_one_counts(void **state)
{
	(void)state;
	static const struct webhook_tracked same = {"org/infra", false, "main", "main"};
	struct delivery_trial trial = {.forge = WEBHOOK_GITEA, .body = MAIN_PUSH, .status = 202};
	struct webhook_verdict verdict;
	delivery_judge(&trial, &same, &verdict);
	assert_true(delivery_check(&trial, &verdict));
}

static void system_hooks_of_gitlab_tell_the_event_in_the_body(void **state)
{
	(void)state;
	static const struct delivery_trial trials[] = {
		ROW("push", WEBHOOK_GITLAB, "System Hook",
			LAB_PUSH("refs/heads/main", A, B, "org/infra"), 202, NULL),
		ROW("other", WEBHOOK_GITLAB, "System Hook", "{\"event_name\":\"project_create\"}",
			204, "event"),
		ROW("none", WEBHOOK_GITLAB, "System Hook", "{\"event_name\":7}", 204, "event"),
		ROW("tag", WEBHOOK_GITLAB, "Tag Push Hook",
			LAB_PUSH("refs/tags/v1", ZERO, B, "org/infra"), 204, "tag"),
		ROW("approval", WEBHOOK_GITLAB, "Tag Push Hook",
			LAB_PUSH("refs/tags/approve/1", ZERO, B, "org/infra"), 202, NULL),
	};
	assert_true(delivery_run(trials, ARRAY_LEN(trials)));
}

static void members_that_are_needed_must_be_there_and_of_their_type(void **state)
{
	(void)state;
	static const struct delivery_trial trials[] = {
		ROW("no ref", WEBHOOK_GITHUB, NULL,
			"{\"before\":\"" A "\",\"after\":\"" B
			"\",\"repository\":{\"full_name\":\"org/infra\"}}",
			400, "'ref'"),
		ROW("ref a number", WEBHOOK_GITEA, NULL,
			"{\"ref\":1,\"before\":\"" A "\",\"after\":\"" B
			"\",\"repository\":{\"full_name\":\"org/infra\"}}",
			400, "'ref'"),
		ROW("after null", WEBHOOK_FORGEJO, NULL,
			"{\"ref\":\"refs/heads/main\",\"before\":\"" A
			"\",\"after\":null,\"repository\":{\"full_name\":\"org/infra\"}}",
			400, "'after'"),
		ROW("no repository", WEBHOOK_GITHUB, NULL,
			"{\"ref\":\"refs/heads/main\",\"before\":\"" A "\",\"after\":\"" B "\"}",
			400, "'repository.full_name'"),
		ROW("repository a list", WEBHOOK_GITHUB, NULL,
			"{\"ref\":\"refs/heads/main\",\"before\":\"" A "\",\"after\":\"" B
			"\",\"repository\":[]}",
			400, "'repository.full_name'"),
		ROW("no project", WEBHOOK_GITLAB, NULL, MAIN_PUSH, 400,
			"'project.path_with_namespace'"),
		ROW("ref twice", WEBHOOK_GITHUB, NULL,
			"{\"ref\":\"refs/heads/x\",\"ref\":\"refs/heads/main\",\"before\":\"" A
			"\",\"after\":\"" B "\",\"repository\":{\"full_name\":\"org/infra\"}}",
			400, "twice"),
		ROW("ref twice, once in disguise", WEBHOOK_GITHUB, NULL,
			"{\"ref\":\"refs/heads/x\",\"r\\u0065f\":\"refs/heads/main\",\"before\":"
			"\"" A "\",\"after\":\"" B
			"\",\"repository\":{\"full_name\":\"org/infra\"}}",
			400, "twice"),
		ROW("name twice", WEBHOOK_GITHUB, NULL,
			"{\"ref\":\"refs/heads/main\",\"before\":\"" A "\",\"after\":\"" B
			"\",\"repository\":{\"full_name\":\"a/b\",\"full_name\":\"org/infra\"}}",
			400, "doubled"),
		ROW("what only decorates may be odd", WEBHOOK_GITHUB, NULL,
			"{\"commits\":7,\"commits\":{},\"pusher\":null,\"n\":-1e999,"
			"\"ref\":\"refs/heads/main\",\"before\":\"" A "\",\"after\":\"" B
			"\",\"repository\":{\"full_name\":\"org/infra\",\"html_url\":[]}}",
			202, NULL),
	};
	assert_true(delivery_run(trials, ARRAY_LEN(trials)));
}

/* ---- Bitbucket --------------------------------------------------------------------------------
 */

#define SIDE(type, name, hash)                                                                     \
	"{\"type\":\"" type "\",\"name\":\"" name "\",\"target\":{\"hash\":\"" hash "\"}}"
#define CLOUD(changes)                                                                             \
	"{\"push\":{\"changes\":[" changes "]},\"repository\":{\"full_name\":\"org/infra\"}}"
#define CHANGE(old, new) "{\"old\":" old ",\"new\":" new "}"
#define MOVED(name)      CHANGE(SIDE("branch", name, A), SIDE("branch", name, B))

static void bitbucket_cloud_tells_several_refs(void **state)
{
	(void)state;
	static const struct delivery_trial trials[] = {
		ROW("one", WEBHOOK_BITBUCKET, NULL, CLOUD(MOVED("main")), 202, NULL),
		ROW("second of two", WEBHOOK_BITBUCKET, NULL, CLOUD(MOVED("x") "," MOVED("main")),
			202, NULL),
		ROW("first of two", WEBHOOK_BITBUCKET, NULL, CLOUD(MOVED("main") "," MOVED("x")),
			202, NULL),
		ROW("created", WEBHOOK_BITBUCKET, NULL,
			CLOUD(CHANGE("null", SIDE("branch", "main", B))), 202, NULL),
		ROW("deleted", WEBHOOK_BITBUCKET, NULL,
			CLOUD(CHANGE(SIDE("branch", "main", B), "null")), 204, "branch-deleted"),
		ROW("deleted and another moved", WEBHOOK_BITBUCKET, NULL,
			CLOUD(CHANGE(SIDE("branch", "y", B), "null") "," MOVED("x")), 204,
			"other-branch"),
		ROW("no changes", WEBHOOK_BITBUCKET, NULL, CLOUD(""), 204, "no-changes"),
		ROW("tag like the branch", WEBHOOK_BITBUCKET, NULL,
			CLOUD(CHANGE("null", SIDE("annotated_tag", "main", B))), 204, "tag"),
		ROW("approval", WEBHOOK_BITBUCKET, NULL,
			CLOUD(CHANGE("null", SIDE("tag", "approve/1", B))), 202, NULL),
		ROW("kind of ref that nobody knows", WEBHOOK_BITBUCKET, NULL,
			CLOUD(CHANGE("null", SIDE("bookmark", "main", B))), 204, "no-changes"),
		ROW("slash in the name", WEBHOOK_BITBUCKET, NULL, CLOUD(MOVED("feature/main")), 204,
			"other-branch"),
		ROW("neither side", WEBHOOK_BITBUCKET, NULL, CLOUD(CHANGE("null", "null")), 400,
			"a change"),
		ROW("change is a number", WEBHOOK_BITBUCKET, NULL, CLOUD("7"), 400, "a change"),
		ROW("target missing", WEBHOOK_BITBUCKET, NULL,
			CLOUD("{\"new\":{\"type\":\"branch\",\"name\":\"main\"}}"), 400,
			"target.hash"),
		ROW("short id", WEBHOOK_BITBUCKET, NULL,
			CLOUD(CHANGE("null", SIDE("branch", "main", "abc"))), 400, "object id"),
		ROW("changes an object", WEBHOOK_BITBUCKET, NULL,
			"{\"push\":{\"changes\":{}},\"repository\":{\"full_name\":\"org/infra\"}}",
			400, "push.changes"),
		ROW("no repository", WEBHOOK_BITBUCKET, NULL, "{\"push\":{\"changes\":[]}}", 400,
			"repository.full_name"),
		ROW("another repository", WEBHOOK_BITBUCKET, NULL,
			"{\"push\":{\"changes\":[]},\"repository\":{\"full_name\":\"o/x\"}}", 204,
			"other-repository"),
		ROW("status", WEBHOOK_BITBUCKET, "repo:commit_status_created", "{}", 204, "event"),
	};
	assert_true(delivery_run(trials, ARRAY_LEN(trials)));
}

#define DC(changes)                                                                                \
	"{\"repository\":{\"slug\":\"infra\",\"project\":{\"key\":\"ORG\"},\"links\":{\"clone\":"  \
	"{}}},\"changes\":[" changes "]}"
#define DC_MOVED(ref, from, to)                                                                    \
	"{\"ref\":{\"id\":\"" ref "\"},\"fromHash\":\"" from "\",\"toHash\":\"" to "\"}"
#define DC_EVENT "repo:refs_changed"

static void bitbucket_data_center_tells_several_refs(void **state)
{
	(void)state;
	static const struct delivery_trial trials[] = {
		ROW("second", WEBHOOK_BITBUCKET, DC_EVENT,
			DC(DC_MOVED("refs/tags/v1", ZERO, B) "," DC_MOVED("refs/heads/main", A, B)),
			202, NULL),
		ROW("refId alone", WEBHOOK_BITBUCKET, DC_EVENT,
			DC("{\"refId\":\"refs/heads/main\",\"fromHash\":\"" A "\",\"toHash\":\"" B
			   "\"}"),
			202, NULL),
		ROW("deleted", WEBHOOK_BITBUCKET, DC_EVENT,
			DC(DC_MOVED("refs/heads/main", A, ZERO)), 204, "branch-deleted"),
		ROW("none", WEBHOOK_BITBUCKET, DC_EVENT, DC(""), 204, "no-changes"),
		ROW("ping", WEBHOOK_BITBUCKET, "diagnostics:ping", "{\"test\": true}", 204, "ping"),
		ROW("no ref", WEBHOOK_BITBUCKET, DC_EVENT, DC("{\"fromHash\":\"" A "\"}"), 400,
			"a change"),
		ROW("no slug", WEBHOOK_BITBUCKET, DC_EVENT,
			"{\"changes\":[],\"repository\":{\"project\":{\"key\":\"ORG\"}}}", 400,
			"slug"),
		ROW("changes null", WEBHOOK_BITBUCKET, DC_EVENT,
			"{\"changes\":null,\"repository\":{\"slug\":\"infra\"}}", 400, "'changes'"),
	};
	assert_true(delivery_run(trials, ARRAY_LEN(trials)));
}

/* ---- events, media types, forms, syntax -------------------------------------------------------
 */

static void events_that_we_do_not_use_are_ignored_if_they_are_sound(void **state)
{
	(void)state;
	static const struct delivery_trial trials[] = {
		ROW("ping", WEBHOOK_GITHUB, "ping", "{\"zen\":\"z\"}", 204, "ping"),
		ROW("pull request", WEBHOOK_GITHUB, "pull_request", "{}", 204, "event"),
		ROW("not born yet", WEBHOOK_GITHUB, "telepathy", "{}", 204, "event"),
		ROW("empty name", WEBHOOK_GITEA, "", "{}", 204, "event"),
		ROW("create", WEBHOOK_FORGEJO, "create", "{\"ref\":\"main\"}", 204, "event"),
		ROW("pipeline", WEBHOOK_GITLAB, "Pipeline Hook", "{}", 204, "event"),
		ROW("event header missing", WEBHOOK_GITHUB, "-", MAIN_PUSH, 400, "X-GitHub-Event"),
		ROW("broken body of a ping", WEBHOOK_GITHUB, "ping", "{", 400, "JSON"),
	};
	assert_true(delivery_run(trials, ARRAY_LEN(trials)));
}

static void media_types_are_compared_without_case_and_parameters(void **state)
{
	(void)state;
	static const struct delivery_trial trials[] = {
		ROW("charset", WEBHOOK_GITHUB, NULL, MAIN_PUSH, 202, NULL,
			.content_type = "Application/JSON ; charset=utf-8"),
		ROW("text", WEBHOOK_GITHUB, NULL, MAIN_PUSH, 415, "application/json or",
			.content_type = "text/plain"),
		ROW("longer", WEBHOOK_GITHUB, NULL, MAIN_PUSH, 415, NULL,
			.content_type = "application/jsonx"),
		ROW("empty", WEBHOOK_GITHUB, NULL, MAIN_PUSH, 415, NULL, .content_type = ""),
		ROW("multipart", WEBHOOK_GITEA, NULL, MAIN_PUSH, 415, NULL,
			.content_type = "multipart/form-data"),
		ROW("form for gitlab", WEBHOOK_GITLAB, NULL, "payload={}", 415, "application/json",
			.content_type = "application/x-www-form-urlencoded"),
		ROW("form for bitbucket", WEBHOOK_BITBUCKET, NULL, "payload={}", 415, NULL,
			.content_type = "application/x-www-form-urlencoded"),
	};
	assert_true(delivery_run(trials, ARRAY_LEN(trials)));
}

#define FORM      "application/x-www-form-urlencoded"
#define FORM_JSON "%7B%22ref%22:%22refs/heads/main%22,%22before%22:%22" A "%22,%22after%22:%22" B
#define FORM_BODY                                                                                  \
	"x=1&payload=" FORM_JSON "%22,%22repository%22:%7b%22full_name%22:%22org/infra%22}+}"
#define FORM_TEXT                                                                                  \
	"{\"ref\":\"refs/heads/main\",\"before\":\"" A "\",\"after\":\"" B                         \
	"\",\"repository\":{\"full_name\":\"org/infra\"} }"

static void forms_are_signed_outside_by_github_and_inside_by_gitea(void **state)
{
	(void)state;
	static const struct delivery_trial trials[] = {
		ROW("github", WEBHOOK_GITHUB, NULL, FORM_BODY, 202, NULL, .content_type = FORM),
		ROW("github, inside", WEBHOOK_GITHUB, NULL, FORM_BODY, 401, NULL, FORM, FORM_TEXT),
		ROW("github, none", WEBHOOK_GITHUB, NULL, "x=1", 400, "no member 'payload'", FORM),
		ROW("github, two", WEBHOOK_GITHUB, NULL, "payload={}&p%61yload={}", 400,
			"two members", FORM),
		ROW("github, bad escape", WEBHOOK_GITHUB, NULL, "payload=%7", 400, "percent", FORM),
		ROW("github, bad escape elsewhere", WEBHOOK_GITHUB, NULL, "payload={}&x=%zz", 400,
			"percent", FORM),
		ROW("gitea", WEBHOOK_GITEA, NULL, FORM_BODY, 202, NULL, FORM, FORM_TEXT),
		ROW("forgejo", WEBHOOK_FORGEJO, NULL, FORM_BODY, 202, NULL, FORM, FORM_TEXT),
		ROW("gitea, outside", WEBHOOK_GITEA, NULL, FORM_BODY, 202, NULL, FORM),
		ROW("gitea, broken form", WEBHOOK_GITEA, NULL, "payload=%7", 401, NULL, FORM),
		ROW("gitea, no payload", WEBHOOK_GITEA, NULL, "x=1", 401, NULL, FORM),
		ROW("gitea, payload no JSON", WEBHOOK_GITEA, NULL, "payload=x", 400, "JSON", FORM,
			"x"),
	};
	assert_true(delivery_run(trials, ARRAY_LEN(trials)));
}

static void json_is_taken_strictly(void **state)
{
	(void)state;
	static const struct delivery_trial trials[] = {
		ROW("empty", WEBHOOK_GITHUB, NULL, "", 400, "empty"),
		ROW("list", WEBHOOK_GITHUB, NULL, "[]", 400, "no JSON object"),
		ROW("cut", WEBHOOK_GITEA, NULL, "{\"ref\":\"refs/he", 400, "ends inside a string"),
		ROW("more behind", WEBHOOK_GITHUB, NULL, MAIN_PUSH "{}", 400, "goes on behind"),
		ROW("blanks behind", WEBHOOK_GITHUB, NULL, MAIN_PUSH " \r\n", 202, NULL),
		ROW("NUL behind", WEBHOOK_GITHUB, NULL, "{}\0x", 400, "goes on behind",
			.body_len = 4),
		ROW("byte order mark", WEBHOOK_GITHUB, NULL, "\xEF\xBB\xBF" MAIN_PUSH, 202, NULL),
		ROW("bad UTF-8", WEBHOOK_GITHUB, NULL,
			GIT_PUSH("refs/heads/main\xFF", A, B, "org/infra"), 400, "UTF-8"),
	};
	assert_true(delivery_run(trials, ARRAY_LEN(trials)));
}

/* ---- which repository is ours -----------------------------------------------------------------
 */

static void the_path_decides_which_repository_is_ours(void **state)
{
	(void)state;
	static const struct {
		const char *url, *repo, *page;
		bool ours;
	} rows[] = {
		{"https://forge.example/org/infra.git", "org/infra", "", true},
		{"https://user@forge.example:8443/org/infra/", "Org/Infra", "", true},
		{"ssh://git@forge.example:2222/org/infra.git", "org/infra", "", true},
		{"git@forge.example:org/infra.git", "org/infra", "", true},
		{"git@forge.example:org/sub/infra", "org/sub/infra", "", true},
		{"git@forge.example:org/sub/infra", "sub/infra", "", false},
		{"https://forge.example/org/infra2.git", "org/infra", "", false},
		{"/srv/git/org/infra.git", "org/infra", "", true},
		{"file:///srv/git/org/infra", "org/infra", "", true},
		{"/srv/git/myorg/infra.git", "org/infra", "", false},
		{"https://dc.example/scm/ORG/infra.git", "org/infra", "", true},
		{"https://dc.example/bitbucket/scm/ORG/infra.git", "ORG/infra", "", true},
		{"https://dc.example/xscm/ORG/infra.git", "ORG/infra", "", false},
		{"https://github.com/scm/infra", "scm/infra", "", true},
		{"https://host/git/org/infra.git", "org/infra", "https://proxy/git/org/infra",
			true},
		{"https://host/git/org/infra.git", "org/infra", "https://proxy/hg/org/infra",
			false},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *path = NULL;
		auto_free char *body =
			mem_printf("{\"ref\":\"refs/heads/main\",\"before\":\"" A
				   "\",\"after\":\"" B "\",\"repository\":{\"full_name\":\"%s\","
				   "\"html_url\":\"%s\"}}",
				rows[i].repo, rows[i].page);
		struct webhook_tracked follow = {.branch = "main", .status_branch = "s"};
		webhook_tracked_path(rows[i].url, &path, &follow.local);
		follow.path = path;
		struct delivery_trial trial = {.name = rows[i].url,
			.body = body,
			.status = rows[i].ours ? 202 : 204,
			.says = "other-repository"};
		struct webhook_verdict verdict;
		delivery_judge(&trial, &follow, &verdict);
		assert_true(delivery_check(&trial, &verdict));
	}
}

static void delivery_ids_are_cut_and_cleaned(void **state)
{
	(void)state;
	char id[200];
	memset(id, 'x', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	id[1] = '\x1B';
	const struct http_header headers[] = {
		{"Content-Type", "application/json"}, {"X-GITHUB-DELIVERY", id}};
	static const struct webhook_secret key = {"key", 3};
	struct webhook_verdict verdict;
	struct webhook_input input = {
		WEBHOOK_GITHUB, headers, 2, "{}", 2, &key, 1, &delivery_tracked, 0};
	webhook_judge(&input, &verdict);
	assert_int_equal(verdict.status, 401);
	assert_int_equal(strlen(verdict.delivery), 64);
	assert_memory_equal(verdict.delivery, "x?xx", 4);
}

static void forges_have_names(void **state)
{
	(void)state;
	for (int i = 0; i < WEBHOOK_FORGES; i++) {
		enum webhook_forge forge = WEBHOOK_FORGES;
		assert_true(webhook_forge_parse(webhook_forge_name((enum webhook_forge)i), &forge));
		assert_int_equal(forge, i);
	}
	enum webhook_forge forge = WEBHOOK_FORGES;
	assert_false(webhook_forge_parse("gogs", &forge));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_push_of_one_ref_is_judged_alike_by_four_forges),
		cmocka_unit_test(a_deleted_tracked_branch_is_told),
		cmocka_unit_test(a_status_branch_that_is_the_tracked_one_counts),
		cmocka_unit_test(system_hooks_of_gitlab_tell_the_event_in_the_body),
		cmocka_unit_test(members_that_are_needed_must_be_there_and_of_their_type),
		cmocka_unit_test(bitbucket_cloud_tells_several_refs),
		cmocka_unit_test(bitbucket_data_center_tells_several_refs),
		cmocka_unit_test(events_that_we_do_not_use_are_ignored_if_they_are_sound),
		cmocka_unit_test(media_types_are_compared_without_case_and_parameters),
		cmocka_unit_test(forms_are_signed_outside_by_github_and_inside_by_gitea),
		cmocka_unit_test(json_is_taken_strictly),
		cmocka_unit_test(the_path_decides_which_repository_is_ours),
		cmocka_unit_test(delivery_ids_are_cut_and_cleaned),
		cmocka_unit_test(forges_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
