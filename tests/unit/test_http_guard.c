/* The table of failed authentications, with a clock of the test's own. Deadlines of connections
 * need connections: test_http.c. */
#include "server/http_private.h"
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MINUTE_MS 60000

static struct in6_addr address(const char *text)
{
	struct in6_addr bytes;
	assert_int_equal(inet_pton(AF_INET6, text, &bytes), 1);
	return bytes;
}

static int set_up(void **state)
{
	struct http_failures *failures = mem_zero(1, sizeof(*failures));
	pthread_mutex_init(&failures->lock, NULL);
	failures->limit = 3;
	*state = failures;
	return 0;
}

static int tear_down(void **state)
{
	struct http_failures *failures = *state;
	pthread_mutex_destroy(&failures->lock);
	free(failures);
	return 0;
}

static void the_limit_blocks_for_the_rest_of_the_minute(void **state)
{
	struct in6_addr eva = address("::ffff:192.0.2.1"), bob = address("::ffff:192.0.2.2");
	assert_false(http_failures_add(*state, &eva, 1000));
	assert_false(http_failures_add(*state, &eva, 2000));
	assert_int_equal(http_failures_blocked(*state, &eva, 2000), 0);
	assert_true(http_failures_add(*state, &eva, 3000)); /* told once */
	assert_false(http_failures_add(*state, &eva, 3000));
	assert_int_equal(http_failures_blocked(*state, &eva, 3000), 58);
	assert_int_equal(http_failures_blocked(*state, &eva, 1000 + MINUTE_MS - 1), 1);
	assert_int_equal(http_failures_blocked(*state, &eva, 1000 + MINUTE_MS), 0);
	assert_int_equal(http_failures_blocked(*state, &bob, 3000), 0);
}

static void a_new_minute_counts_from_zero(void **state)
{
	struct in6_addr eva = address("::ffff:192.0.2.1");
	for (int minute = 0; minute < 5; minute++) {
		int64_t now = minute * (int64_t)MINUTE_MS;
		assert_false(http_failures_add(*state, &eva, now));
		assert_false(http_failures_add(*state, &eva, now + 1));
		assert_int_equal(http_failures_blocked(*state, &eva, now + 1), 0);
	}
}

static void the_addresses_of_one_ipv6_network_count_together(void **state)
{
	struct in6_addr one = address("2001:db8:1:2::1"), two = address("2001:db8:1:2:ffff::2");
	struct in6_addr other = address("2001:db8:1:3::1");
	assert_false(http_failures_add(*state, &one, 0));
	assert_false(http_failures_add(*state, &two, 0));
	assert_true(http_failures_add(*state, &one, 0));
	assert_int_equal(http_failures_blocked(*state, &two, 0), 60);
	assert_int_equal(http_failures_blocked(*state, &other, 0), 0);
}

static void more_addresses_than_the_table_holds_push_out_the_oldest(void **state)
{
	struct in6_addr first = address("::ffff:198.51.100.1"), last = first;
	for (int i = 0; i < 3; i++)
		(void)http_failures_add(*state, &first, 0); /* whether it is told is not at issue */
	assert_int_equal(http_failures_blocked(*state, &first, 1), 60);
	for (unsigned i = 0; i < 100000; i++) {
		last = address("::ffff:10.0.0.0");
		last.s6_addr[13] = (unsigned char)(i >> 16);
		last.s6_addr[14] = (unsigned char)(i >> 8);
		last.s6_addr[15] = (unsigned char)i;
		assert_false(http_failures_add(*state, &last, 1 + i / 10));
	}
	assert_int_equal(http_failures_blocked(*state, &first, 10000), 0);
	assert_false(http_failures_add(*state, &last, 10000));
	assert_true(http_failures_add(*state, &last, 10000));
	assert_int_not_equal(http_failures_blocked(*state, &last, 10000), 0);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		FRESH(the_limit_blocks_for_the_rest_of_the_minute),
		FRESH(a_new_minute_counts_from_zero),
		FRESH(the_addresses_of_one_ipv6_network_count_together),
		FRESH(more_addresses_than_the_table_holds_push_out_the_oldest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
