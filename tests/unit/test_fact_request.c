/* Facts of what people asked for: subjects, who and why, and the records afterwards. */
#include "reconcile/fact.h"
#include "server/views.h"
#include "tests/lib/facts.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define WALL_S 1764000000

static const struct request by_eva = {.by = "eva", .reason = "customer demo"};

static void assert_asked(const struct fact *fact, const char *subject, const char *file)
{
	assert_string_equal(fact->subject, subject);
	assert_string_equal(fact_trailer(fact, "Author"), "eva");
	assert_string_equal(fact_trailer(fact, "Reason"), "customer demo");
	assert_int_equal(fact->file_count, 1);
	assert_string_equal(fact->files[0].path, file);
}

static struct client_record alpha(void)
{
	return (struct client_record){.client = mem_dup_str("alpha"),
		.stage = mem_dup_str("canary"),
		.state = CLIENT_HEALTHY};
}

static void a_pause_of_the_fleet_is_a_file_and_ends_with_it(void **state)
{
	(void)state;
	auto_status struct status *status = status_new();
	auto_fact struct fact *pause = fact_pause(status, NULL, &by_eva, WALL_S);
	assert_asked(pause, "pause(fleet): customer demo", "requests.yaml");
	assert_non_null(strstr(pause->files[0].text, "since: 2025-11-24T16:00:00Z"));
	status_put_asked(status, pause->asked);
	assert_true(status->asked.pause.paused);
	auto_fact struct fact *resume = fact_resume(status, NULL, &by_eva, WALL_S);
	assert_asked(resume, "resume(fleet): customer demo", "requests.yaml");
	assert_string_equal(resume->files[0].text, "{}\n");
}

static void a_pause_of_a_client_keeps_its_state(void **state)
{
	(void)state;
	auto_status struct status *status = status_new();
	struct client_record record = alpha();
	auto_fact struct fact *pause = fact_pause(status, &record, &by_eva, WALL_S);
	assert_asked(pause, "pause(alpha): customer demo", "clients/alpha.yaml");
	assert_string_equal(fact_trailer(pause, "Client"), "alpha");
	assert_non_null(strstr(pause->files[0].text, "state: paused\n"));
	assert_non_null(strstr(pause->files[0].text, "was: healthy\n"));
	assert_int_equal(pause->client->state, CLIENT_HEALTHY);
	auto_fact struct fact *resume = fact_resume(status, pause->client, &by_eva, WALL_S);
	assert_non_null(strstr(resume->files[0].text, "state: healthy\n"));
	client_record_clear(&record);
}

static void a_long_reason_is_whole_in_its_trailer_and_cut_in_the_subject(void **state)
{
	(void)state;
	auto_status struct status *status = status_new();
	struct request request = {.by = "eva"};
	for (size_t i = 0; i < 40; i++) /* two bytes each, so that 61 would cut one apart */
		memcpy(request.reason + 1 + 2 * i, "\xc3\xa9", 2);
	request.reason[0] = 'x';
	auto_fact struct fact *fact = fact_pause(status, NULL, &request, WALL_S);
	assert_string_equal(fact_trailer(fact, "Reason"), request.reason);
	size_t len = strlen(fact->subject) - strlen("pause(fleet): ");
	assert_int_equal(len, 59);
	assert_int_equal((unsigned char)fact->subject[strlen(fact->subject) - 1], 0xa9);
}

static void a_retry_forgives_up_to_the_newest_rollout(void **state)
{
	(void)state;
	auto_status struct status *status = status_new();
	struct rollout_record rollout = {.id = "20260101-000000-1111111", .state = ROLLOUT_FAILED};
	struct client_record record = alpha();
	status_put_rollout(status, &rollout);
	auto_fact struct fact *all = fact_retry(status, NULL, &by_eva, WALL_S);
	assert_asked(all, "retry(20260101-000000-1111111): customer demo", "requests.yaml");
	assert_null(asked_record_retry(&all->asked[0], "20260101-000001-1111111"));
	auto_fact struct fact *one = fact_retry(status, &record, &by_eva, WALL_S);
	assert_asked(one, "retry(alpha): customer demo", "requests.yaml");
	assert_string_equal(
		asked_record_retry(one->asked, "20260101-000000-1111111")->client, "alpha");
	client_record_clear(&record);
}

static void a_hold_by_hand_forbids_what_is_wanted(void **state)
{
	(void)state;
	struct client_record record = alpha();
	const struct release_ref wanted = {
		.release = "sha256:b1152b9600", .release_key = "k1", .commit = "2222222"};
	auto_fact struct fact *fact = fact_hold_by_hand(&record, &wanted, &by_eva, WALL_S);
	assert_asked(fact, "hold(alpha): release b1152b96 is not tried again by itself",
		"clients/alpha.yaml");
	assert_string_equal(fact_trailer(fact, "Result"), "held");
	assert_true(fact->client->hold.held && fact->client->hold.by_hand);
	assert_string_equal(fact->client->hold.release, wanted.release);
	assert_string_equal(fact->client->hold.commit, wanted.commit);
	client_record_clear(&record);
}

/* ---- what the status says of it ----------------------------------------------------------------
 */

static void show(struct snapshot *snapshot, struct buf *out)
{
	buf_clear(out);
	view_status(snapshot, out);
}

static void the_status_says_what_waits_and_what_to_do(void **state)
{
	(void)state;
	auto_snapshot struct snapshot *snapshot = snapshot_new();
	auto_buf struct buf out = BUF_INIT(1 << 16);
	struct rollout_record rollout = {.id = "20260101-000000-2222222", .state = ROLLOUT_FAILED};
	struct request pause = {.by = "eva", .reason = "\"demo\""};
	memset(rollout.commit, '2', OID_HEX);
	memset(snapshot->commit, '2', OID_HEX);
	snapshot->status = status_new();
	show(snapshot, &out);
	assert_non_null(strstr(out.text, "\"waits\":[],\"held\":[],\"paused\":[]"));
	status_put_rollout(snapshot->status, &rollout);
	show(snapshot, &out);
	assert_non_null(
		strstr(out.text, "commit 2222222 is held: rollout 20260101-000000-2222222"));
	assert_non_null(strstr(out.text, "aviary retry"));
	auto_fact struct fact *retry = fact_retry(snapshot->status, NULL, &pause, WALL_S);
	status_put_asked(snapshot->status, retry->asked);
	show(snapshot, &out);
	assert_null(strstr(out.text, "is held"));
	auto_fact struct fact *fact = fact_pause(snapshot->status, NULL, &pause, WALL_S);
	status_put_asked(snapshot->status, fact->asked);
	show(snapshot, &out);
	assert_non_null(strstr(out.text, "\"next\":\"aviary resume\""));
	assert_non_null(
		strstr(out.text, "{\"client\":null,\"reason\":\"\\\"demo\\\"\",\"by\":\"eva\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pause_of_the_fleet_is_a_file_and_ends_with_it),
		cmocka_unit_test(a_pause_of_a_client_keeps_its_state),
		cmocka_unit_test(a_long_reason_is_whole_in_its_trailer_and_cut_in_the_subject),
		cmocka_unit_test(a_retry_forgives_up_to_the_newest_rollout),
		cmocka_unit_test(a_hold_by_hand_forbids_what_is_wanted),
		cmocka_unit_test(the_status_says_what_waits_and_what_to_do),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
