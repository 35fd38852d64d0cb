/* Bodies of what people ask for, and what became of a request. */
#include "reconcile/request.h"
#include "reconcile/snapshot.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
	const char *body, *reason, *wrong; /* wrong: a part of the error, NULL: it is good */
} bodies[] = {
	{"", "", NULL},
	{"{}", "", NULL},
	{"{\"reason\": \"\"}", "", NULL},
	{"{\"reason\": \" customer demo \"}", "customer demo", NULL},
	{"  {\"reason\":\"caf\\u00e9\"}\n", "caf\xc3\xa9", NULL},
	{"{\"reason\": \"not \xff utf-8\"}", "not ? utf-8", NULL},
	{"{\"reason\": \"a\\nb\"}", "", "one line"},
	{"{\"reason\": \"a\\u007fb\"}", "", "one line"},
	{"{\"reason\": null}", "", "no text"},
	{"{\"reason\": [\"a\"]}", "", "no text"},
	{"{\"reson\": \"a\"}", "", "did you mean 'reason'"},
	{"{\"client\": \"a\"}", "", "'client' is unknown"},
	{"{\"now\": 1}", "", "'now' is neither true nor false"},
	{"{\"now\": false, \"reason\": \"a\"}", "a", NULL},
	{"[]", "", "no JSON object"},
	{"\"reason\"", "", "no JSON object"},
	{"{\"reason\": \"a\"} {}", "", "no JSON object"},
	{"{\"reason\": \"a\"", "", "no JSON object"},
	{"reason=a", "", "no JSON object"},
};

static void a_body_is_empty_or_an_object_with_a_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		char reason[REQUEST_REASON_MAX + 1] = "?";
		bool now;
		struct error err = {0};
		bool good = request_read_body(
			bodies[i].body, strlen(bodies[i].body), reason, &now, &err);
		if (good != !bodies[i].wrong)
			fail_msg("'%s': %s", bodies[i].body, err.message);
		if (good)
			assert_string_equal(reason, bodies[i].reason);
		else if (!strstr(err.message, bodies[i].wrong))
			fail_msg("'%s': %s", bodies[i].body, err.message);
	}
}

static void a_reason_has_a_limit_and_so_has_the_body(void **state)
{
	(void)state;
	static const size_t lens[] = {
		REQUEST_REASON_MAX, REQUEST_REASON_MAX + 1, REQUEST_REASON_MAX * 100};
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		auto_free char *text = mem_zero(lens[i] + 1, 1);
		memset(text, 'x', lens[i]);
		auto_free char *body = mem_printf("{\"reason\": \"%s\"}", text);
		char reason[REQUEST_REASON_MAX + 1];
		bool now;
		struct error err;
		assert_int_equal(request_read_body(body, strlen(body), reason, &now, &err), i == 0);
		if (i)
			assert_non_null(strstr(err.message, i == 1 ? "500 bytes" : "KiB"));
	}
}

static void a_nul_does_not_end_a_body(void **state)
{
	(void)state;
	static const char body[] = "{\"reason\": \"a\"}\0x";
	char reason[REQUEST_REASON_MAX + 1];
	bool now;
	struct error err;
	assert_false(request_read_body(body, sizeof(body) - 1, reason, &now, &err));
}

static void a_snapshot_knows_old_requests_new_ones_and_none(void **state)
{
	(void)state;
	auto_snapshot struct snapshot *snapshot = snapshot_new();
	struct request_answer answer;
	snapshot->status = status_new();
	snapshot->newest_request = 12;
	snapshot->answers = mem_zero(1, sizeof(*snapshot->answers));
	snapshot->answer_count = 1;
	snapshot->answers[0] =
		(struct request_answer){.id = 11, .state = REQUEST_REFUSED, .text = "no"};
	assert_true(snapshot_answer(snapshot, 11, &answer));
	assert_string_equal(request_state_name(answer.state), "refused");
	assert_string_equal(answer.text, "no");
	assert_false(snapshot_answer(snapshot, 12, &answer)); /* so old that it is forgotten */
	assert_false(snapshot_answer(snapshot, 0, &answer));
	assert_true(snapshot_answer(snapshot, 13, &answer)); /* handed over after the picture */
	assert_int_equal(answer.state, REQUEST_QUEUED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_is_empty_or_an_object_with_a_reason),
		cmocka_unit_test(a_reason_has_a_limit_and_so_has_the_body),
		cmocka_unit_test(a_nul_does_not_end_a_body),
		cmocka_unit_test(a_snapshot_knows_old_requests_new_ones_and_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
