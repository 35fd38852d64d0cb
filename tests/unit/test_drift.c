/* What counts as drift, how it is told, and what the record keeps of it. */
#include "reconcile/drift.h"
#include "reconcile/fact.h"
#include "tests/lib/facts.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define WALL_S  1764000000
#define RUNS    "sha256:5678abcd5678abcd5678abcd5678abcd5678abcd5678abcd5678abcd5678abcd"
#define ANOTHER "sha256:1234abcd1234abcd1234abcd1234abcd1234abcd1234abcd1234abcd1234abcd"

static const struct driver_state well = {.found = true, .release = RUNS, .current = RUNS};

static void every_way_to_differ_is_told(void **state)
{
	(void)state;
	const struct {
		struct driver_state state;
		const char *what; /* NULL: no drift */
		const char *runs;
	} cases[] = {
		{well, NULL, ""},
		{{.found = true, .release = RUNS, .current = "sha256:5678abcd5678abcd"}, NULL, ""},
		{{.found = false}, "no state instead of sha256:5678abcd..", ""},
		{{.found = true, .release = ANOTHER, .current = ANOTHER},
			"runs sha256:1234abcd.. instead of sha256:5678abcd..", ANOTHER},
		{{.found = true, .release = RUNS, .current = ANOTHER},
			"current points to sha256:1234abcd.. instead of sha256:5678abcd..",
			ANOTHER},
		{{.found = true, .release = RUNS},
			"nothing is current instead of sha256:5678abcd..", ""},
		{{.found = true, .release = RUNS, .current = RUNS, .activating = true},
			"the activation of sha256:5678abcd.. did not end", RUNS},
		{{.found = true, .release = ANOTHER, .locked = true}, NULL, ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct drift drift;
		drift_compare(RUNS, &cases[i].state, &drift);
		assert_int_equal(drift.found, cases[i].what != NULL);
		if (cases[i].what)
			assert_string_equal(drift.what, cases[i].what);
		assert_string_equal(drift.runs, cases[i].runs);
		drift_clear(&drift);
	}
}

/* ---- asking a host ------------------------------------------------------------------------------
 */

static struct {
	struct driver_state state;
	enum error_code code; /* of ask(); ERR_NONE: it answers */
	bool lacks;
	const char *changed;
	size_t asked_for_files;
} host;

static bool fake_ask(
	const struct driver_host *ignored, struct driver_state *state_out, struct error *err)
{
	(void)ignored;
	*state_out = host.state;
	return !host.code || error_set(err, host.code, "line 1: no state");
}

static bool fake_has(
	const struct driver_host *ignored, const char *digest, bool *has_out, struct error *err)
{
	(void)ignored;
	(void)err;
	*has_out = !host.lacks && !strcmp(digest, RUNS);
	return true;
}

static bool fake_compare(const struct driver_host *ignored, const struct driver_release *release,
	const char **path_out, struct error *err)
{
	(void)ignored;
	(void)err;
	host.asked_for_files += release->count;
	*path_out = host.changed;
	return true;
}

/* What a question finds; "" nothing, NULL: it could not be asked. */
static char *ask(const struct driver *driver, struct release *release)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const struct target target = {.arena = arena, .driver = driver, .release = release};
	struct driver_state state;
	struct drift drift;
	struct error err;
	bool ok = drift_ask(RUNS, &target, &state, &drift, &err);
	char *what = ok ? mem_dup_str(drift.what ? drift.what : "") : NULL;
	drift_clear(&drift);
	return what;
}

static void assert_finds(const struct driver *driver, struct release *release, const char *wanted)
{
	auto_free char *what = ask(driver, release);
	if (!wanted)
		assert_null(what);
	else
		assert_string_equal(what, wanted);
}

static void a_folder_and_its_files_are_looked_at(void **state)
{
	(void)state;
	const struct driver driver = {
		.ask = fake_ask, .has_release = fake_has, .compare = fake_compare};
	const struct driver simple = {.ask = fake_ask, .has_release = fake_has};
	struct release_file file = {.path = (char[]){".env"}};
	struct release release = {.files = &file, .file_count = 1};
	(void)snprintf(release.digest, sizeof(release.digest), "%s", RUNS);
	memset(&host, 0, sizeof(host));
	host.state = well;
	assert_finds(&driver, &release, "");
	assert_int_equal(host.asked_for_files, 1);
	host.changed = ".env";
	assert_finds(&driver, &release, "file .env of sha256:5678abcd.. was changed");
	assert_finds(&driver, NULL, "");     /* it did not render */
	assert_finds(&simple, &release, ""); /* that driver cannot tell */
	(void)snprintf(release.digest, sizeof(release.digest), "%s", ANOTHER);
	assert_finds(&driver, &release, ""); /* it renders otherwise: a key was lost */
	host.lacks = true;
	assert_finds(&simple, NULL, "the folder of sha256:5678abcd.. is missing");
	host.code = ERR_INVALID;
	assert_finds(&driver, &release, "its state does not read: line 1: no state");
	host.code = ERR_UNREACHABLE;
	assert_finds(&driver, &release, NULL);
}

/* ---- records ------------------------------------------------------------------------------------
 */

static struct client_record alpha(void)
{
	struct client_record record = {.client = mem_dup_str("alpha"),
		.state = CLIENT_HEALTHY,
		.stage = mem_dup_str("canary")};
	memcpy(record.current.release, RUNS, sizeof(RUNS));
	return record;
}

static void the_record_keeps_both_words_until_it_is_over(void **state)
{
	(void)state;
	CLEANUP(client_record_clear) struct client_record record = alpha();
	struct drift drift = {.found = true, .runs = ANOTHER, .what = (char[]){"runs another"}};
	auto_fact struct fact *found = fact_drift_found(&record, &drift, WALL_S);
	assert_string_equal(found->subject, "drift(alpha): runs another");
	assert_string_equal(fact_trailer(found, "Client"), "alpha");
	assert_string_equal(fact_trailer(found, "Release"), RUNS);
	assert_string_equal(fact_trailer(found, "Result"), "");
	assert_string_equal(found->client->current.release, RUNS);
	assert_string_equal(found->client->drift.runs, ANOTHER);
	assert_non_null(strstr(found->files[0].text, "runs another"));
	/* another drift of the same client has begun when the first one did */
	drift.what = (char[]){"no state"};
	auto_fact struct fact *other = fact_drift_found(found->client, &drift, WALL_S + 60);
	assert_int_equal(other->client->drift.since_s, WALL_S);
	assert_false(drift_is_same(&found->client->drift, &other->client->drift));
	auto_fact struct fact *over = fact_drift_over(other->client, "runs it", WALL_S + 120);
	assert_string_equal(over->subject, "drift(alpha): over: runs it");
	assert_string_equal(fact_trailer(over, "Reason"), "no state");
	assert_false(over->client->drift.found);
	assert_null(strstr(over->files[0].text, "drift:"));
}

static void drift_in_a_record_reads_back_as_it_was(void **state)
{
	(void)state;
	const struct node_options options = {.rules = NODE_CORE12};
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_buf struct buf text = BUF_INIT(1 << 16);
	CLEANUP(client_record_clear) struct client_record record = alpha();
	CLEANUP(client_record_clear) struct client_record again = {0};
	const struct node *node;
	struct error err;
	record.drift = (struct drift){.found = true,
		.runs = ANOTHER,
		.repair = "20260101-000000-1111111",
		.what = mem_dup_str("file 'a: b' # of it"),
		.since_s = WALL_S};
	client_record_to_yaml(&record, &text);
	assert_true(
		node_parse_yaml(arena, "alpha.yaml", text.text, text.len, &options, &node, &err));
	assert_true(client_record_from_node(node, &again, &err));
	assert_true(drift_is_same(&again.drift, &record.drift));
	assert_string_equal(again.drift.runs, ANOTHER);
	assert_string_equal(again.drift.repair, record.drift.repair);
	assert_int_equal(again.drift.since_s, WALL_S);
}

static void a_drift_that_comes_back_is_held(void **state)
{
	(void)state;
	CLEANUP(client_record_clear) struct client_record record = alpha();
	const struct drift drift = {.found = true, .what = (char[]){"no state"}};
	record.drift = (struct drift){.found = true,
		.repair = "20260101-000000-1111111",
		.what = mem_dup_str("no state")};
	auto_fact struct fact *fact = fact_drift_held(&record, &drift, WALL_S);
	assert_string_equal(
		fact->subject, "hold(alpha): release 5678abcd is not tried again by itself");
	assert_string_equal(fact_trailer(fact, "Result"), "held");
	assert_true(fact->client->hold.held && !fact->client->hold.by_hand);
	assert_string_equal(fact->client->hold.release, RUNS);
	assert_non_null(strstr(fact->client->hold.reason, "20260101-000000-1111111"));
	assert_true(fact->client->drift.found && !fact->client->drift.repair[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_to_differ_is_told),
		cmocka_unit_test(a_folder_and_its_files_are_looked_at),
		cmocka_unit_test(the_record_keeps_both_words_until_it_is_over),
		cmocka_unit_test(drift_in_a_record_reads_back_as_it_was),
		cmocka_unit_test(a_drift_that_comes_back_is_held),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
