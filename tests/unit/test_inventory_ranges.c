/* Host patterns: what Ansible makes of web[01:50].example.org:22, and of what nobody meant. */
#include "reconcile/inventory_build.h"

#include <setjmp.h>
#include <stdarg.h>
/* after the headers above, as it says itself */
#include <cmocka.h>

static void add_name(void *context, const char *name)
{
	struct buf *names = context;
	buf_addf(names, "%s%s", names->len ? " " : "", name);
}

static void ranges_and_ports_expand_as_in_ansible(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *names;
		int port;
	} cases[] = {
		{"web", "web", 0},
		{"web:22", "web", 22},
		{"web:0", "web", 0},
		{"web[1:3]", "web1 web2 web3", 0},
		{"web[01:03]:2222", "web01 web02 web03", 2222},
		{"web[08:11]", "web08 web09 web10 web11", 0},
		{"web[1:10:4]", "web1 web5 web9", 0},
		{"web[:2]", "web0 web1 web2", 0},
		{"web[3:1]", "", 0},
		{"web[3:1:-1]", "web3", 0},
		{"db[a:d:2].example.org", "dba.example.org dbc.example.org", 0},
		{"db[y:B]", "dby dbz dbA dbB", 0},
		{"r[1:2]n[a:b]", "r1na r1nb r2na r2nb", 0},
		{"[1:2]x", "1x 2x", 0},
		{"10.0.0.[1:2]:22", "10.0.0.1 10.0.0.2", 22},
		{"[2001:db8::1]:22", "2001:db8::1", 22},
		{"2001:db8::1", "2001:db8::1", 0},
		{"[host.example.org]:22", "host.example.org", 22},
		{"[1:2:3:4:5:6:7:8]:22", "1:2:3:4:5:6:7:8", 22},
		{"a_b:22", "a_b", 22},
		{"gr\u00fcn:22", "gr\u00fcn", 22},
		/* no host name, so no port either */
		{"a_:22", "a_:22", 0},
		{"-a:22", "-a:22", 0},
		{"a b:22", "a b:22", 0},
		{"a..b:22", "a..b:22", 0},
		{"a:b:22", "a:b:22", 0},
		{"web:", "web:", 0},
		{"web:2a", "web:2a", 0},
		{"\u20ac:22", "\u20ac:22", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf struct buf names = BUF_INIT(4096);
		struct host_pattern pattern;
		struct error err = {0};
		size_t steps = 0;
		assert_true(host_pattern_parse(cases[i].pattern, &pattern, &err));
		assert_int_equal(pattern.port, cases[i].port);
		if (!host_pattern_expand(&pattern, &steps, add_name, &names, &err))
			fail_msg("%s: %s", cases[i].pattern, err.message);
		assert_string_equal(names.text, cases[i].names);
	}
}

static void ranges_that_ansible_refuses_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *message;
	} cases[] = {
		{"web[1]", "not begin:end"},
		{"web[]", "not begin:end"},
		{"web[1:2:3:4]", "more than begin:end:step"},
		{"web[1:]", "the end is missing"},
		{"[::1]", "the end is missing"},
		{"web[01:100]", "bounds of different lengths"},
		{"web[c:a]", "the end lies before the begin"},
		{"web[a:3]", "neither numbers nor letters"},
		{"web[0x1:0x3]", "neither numbers nor letters"},
		{"web[1:3:0]", "the step must be"},
		{"web[1:3:]", "the step must be"},
		{"web[1:3:x]", "the step must be"},
		{"web[1:3", "without a range"},
		{"a|b[1:3]", "without a range"},
		{"web]1:3[", NULL}, /* Ansible takes the brackets in either order */
		{"web[1:99999999999999999999]", "neither numbers nor letters"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf struct buf names = BUF_INIT(4096);
		struct host_pattern pattern;
		struct error err = {0};
		size_t steps = 0;
		assert_true(host_pattern_parse(cases[i].pattern, &pattern, &err));
		bool ok = host_pattern_expand(&pattern, &steps, add_name, &names, &err);
		if (ok != !cases[i].message)
			fail_msg("%s: %s", cases[i].pattern, names.text);
		if (!ok && !strstr(err.message, cases[i].message))
			fail_msg("%s: %s", cases[i].pattern, err.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_and_ports_expand_as_in_ansible),
		cmocka_unit_test(ranges_that_ansible_refuses_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
