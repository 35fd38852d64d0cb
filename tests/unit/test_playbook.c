/* What ansible-playbook says and gets: its events, its pipe, its variables. */
#include "base/feed.h"
#include "base/fs.h"
#include "base/node.h"
#include "reconcile/drivers/ansible_events.h"
#include "reconcile/drivers/playbook.h"
#include "reconcile/step_playbook.h"
#include "tests/lib/gitrepo.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define OF_HOST(event, more)                                                                       \
	"{\"_event\": \"v2_runner_on_" event "\", \"host\": \"alpha\", \"changed\": false" more    \
	"}\n"
#define TASK(name) "{\"_event\": \"v2_playbook_on_task_start\", \"name\": \"" name "\"}\n"
#define STATS(ok, failures, unreachable)                                                           \
	"{\"_event\": \"v2_playbook_on_stats\", \"stats\": {\"alpha\": {\"ok\": " ok               \
	", \"failures\": " failures ", \"unreachable\": " unreachable "}}}\n"

static void keep(void *shown, const char *bytes, size_t len)
{
	buf_add(shown, bytes, len);
}

static struct ansible_events hear(const char *text, struct buf *shown)
{
	struct ansible_events events;
	ansible_events_init(&events, keep, shown);
	for (const char *at = text; *at; at++)
		ansible_events_add(&events, at, 1);
	ansible_events_end(&events);
	return events;
}

static void each_task_is_shown_with_what_came_of_it(void **state)
{
	auto_buf struct buf shown = BUF_INIT(10000);
	(void)state;
	struct ansible_events events =
		hear("[WARNING]: old\n" TASK("say") OF_HOST("ok", "") TASK("break")
				OF_HOST("failed", ", \"text\": \"no room\", \"ignored\": false")
					STATS("1", "1", "0"),
			&shown);
	assert_string_equal(shown.text, "[WARNING]: old\nTASK: say\nok: alpha\nTASK: break\n"
					"failed: alpha: no room\n");
	assert_true(events.ended);
	assert_int_equal(events.done, 1);
	assert_int_equal(events.failed, 1);
	assert_string_equal(events.what, "break");
	assert_string_equal(events.why, "no room");
}

static void what_was_rescued_or_ignored_is_not_the_reason(void **state)
{
	auto_buf struct buf shown = BUF_INIT(10000);
	(void)state;
	struct ansible_events events =
		hear(TASK("first") OF_HOST("failed", ", \"text\": \"a\"") TASK("second")
				OF_HOST("failed", ", \"text\": \"b\"") TASK("third")
					OF_HOST("failed", ", \"text\": \"c\", \"ignored\": true"),
			&shown);
	assert_string_equal(events.what, "second");
	assert_string_equal(events.why, "b");
	assert_false(events.ended);
	assert_non_null(strstr(shown.text, "failed, ignored: alpha: c\n"));
}

static void hostile_output_is_only_shown(void **state)
{
	static const char *const lines[] = {"{", "{}", "{\"_event\": 1}", "{\"_event\": \"x\"}",
		"{\"_event\": \"v2_playbook_on_stats\"}",
		"{\"_event\": \"v2_playbook_on_stats\", \"stats\": []}", "[1]", "\x01\xff"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		auto_buf struct buf shown = BUF_INIT(10000);
		struct ansible_events events = hear(lines[i], &shown);
		assert_false(events.ended);
		assert_int_equal(events.failed + events.unreachable + events.done, 0);
	}
}

static void a_line_that_never_ends_is_dropped(void **state)
{
	auto_buf struct buf shown = BUF_INIT(10000);
	auto_free char *block = mem_alloc(ANSIBLE_LINE_MAX);
	struct ansible_events events;
	(void)state;
	memset(block, 'x', ANSIBLE_LINE_MAX);
	ansible_events_init(&events, keep, &shown);
	for (int i = 0; i < 4; i++)
		ansible_events_add(&events, block, ANSIBLE_LINE_MAX);
	ansible_events_add(&events, "\n" STATS("2", "0", "0"), strlen("\n" STATS("2", "0", "0")));
	ansible_events_end(&events);
	assert_string_equal(shown.text, "[a line that is too long was dropped]\n");
	assert_true(events.ended);
}

static void only_names_that_are_no_patterns_can_be_limited_to(void **state)
{
	static const char *const bad[] = {"", "all", "a*", "a:b", "!a", "&a", "a[0]", "~a", "@f",
		"-a", "a b", "a,b", "a$(b)"};
	(void)state;
	assert_true(playbook_can_limit("alpha"));
	assert_true(playbook_can_limit("web-1.example.org"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(playbook_can_limit(bad[i]));
}

static void a_pipe_gives_its_text_once_and_goes(void **state)
{
	auto_free char *folder = gitrepo_scratch();
	auto_free char *path = mem_printf("%s/pipe", folder);
	auto_free char *text = mem_zero(1, 300001); /* more than a pipe holds */
	char block[4096];
	size_t got = 0;
	struct feed *feed = NULL;
	struct stat st;
	struct error err;
	(void)state;
	memset(text, 'x', 300000);
	if (!feed_new(path, text, 300000, &feed, &err))
		fail_msg("%s", err.message);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	for (ssize_t part; (part = read(fd, block, sizeof(block))) > 0;)
		got += (size_t)part;
	assert_int_equal(got, 300000);
	feed_free(feed);
	assert_int_not_equal(access(path, F_OK), 0);
	gitrepo_remove(STEAL(folder));
}

static void a_pipe_that_nobody_reads_ends(void **state)
{
	auto_free char *folder = gitrepo_scratch();
	auto_free char *path = mem_printf("%s/pipe", folder);
	struct feed *feed = NULL;
	struct error err;
	(void)state;
	assert_true(feed_new(path, "text", 4, &feed, &err));
	feed_free(feed);
	assert_true(feed_new(path, "text", 4, &feed, &err));
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC); /* and reads nothing */
	feed_free(feed);
	gitrepo_remove(STEAL(folder));
}

/* As PyYAML reads it: what the text became is what it was. */
static void variables_and_secrets_come_through_as_they_are(void **state)
{
	static const char odd[] =
		"{{ a }} \"'\\ \n\t\x7f \xc2\x85 \xef\xbb\xbf \xef\xbf\xbe \xc3\xa9";
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_free char *folder = gitrepo_scratch();
	auto_tree struct tree *tree = NULL;
	const struct node *text = node_new_string(arena, odd, strlen(odd));
	const struct node_entry vars[] = {{.key = "ansible_port", .key_len = 12, .value = text},
		{.key = "aviary_pin", .key_len = 10, .value = text},
		{.key = "plain", .key_len = 5, .value = text}};
	const struct node_entry secret = {.key = "odd", .key_len = 3, .value = text};
	const struct host host = {.name = "alpha", .vars = node_new_map(arena, vars, 3, NULL)};
	const struct client client = {.name = "alpha", .host = &host};
	const struct policy policy = {.inventory = "inventory.yml"};
	const struct policy_step step = {.name = "setup", .playbook = "ansible/a/b.yml"};
	const struct step_play play = {
		&policy, &step, &client, node_new_map(arena, &secret, 1, NULL)};
	const struct node_options options = {.rules = NODE_ANSIBLE11};
	struct step_playbook playbook;
	const struct node *read = NULL;
	struct error err;
	(void)state;
	gitrepo_write(folder, "ansible/ansible.cfg", "[defaults]\n");
	assert_true(tree_open_folder(folder, &tree, &err));
	assert_true(step_playbook_fill(&play, tree, arena, &playbook, &err));
	assert_string_equal(playbook.config, "ansible/ansible.cfg");
	if (!node_parse_yaml(arena, "variables", playbook.variables, strlen(playbook.variables),
		    &options, &read, &err))
		fail_msg("%s", err.message);
	assert_string_equal(node_get(read, "plain")->text, odd);
	const struct node *unsafe = node_path(read, "secrets.odd");
	assert_int_equal(unsafe->kind, NODE_TAGGED);
	assert_string_equal(unsafe->text, odd);
	assert_null(node_get(read, "ansible_port"));
	assert_null(node_get(read, "aviary_pin"));
	assert_true(node_parse_yaml(arena, "connection", playbook.connection,
		strlen(playbook.connection), &options, &read, &err));
	assert_string_equal(node_path(read, "all.hosts.alpha.ansible_port")->text, odd);
	assert_null(node_path(read, "all.hosts.alpha.plain"));
	gitrepo_remove(STEAL(folder));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_task_is_shown_with_what_came_of_it),
		cmocka_unit_test(what_was_rescued_or_ignored_is_not_the_reason),
		cmocka_unit_test(hostile_output_is_only_shown),
		cmocka_unit_test(a_line_that_never_ends_is_dropped),
		cmocka_unit_test(only_names_that_are_no_patterns_can_be_limited_to),
		cmocka_unit_test(a_pipe_gives_its_text_once_and_goes),
		cmocka_unit_test(a_pipe_that_nobody_reads_ends),
		cmocka_unit_test(variables_and_secrets_come_through_as_they_are),
	};
	return cmocka_run_group_tests(tests, gitrepo_begin, gitrepo_end);
}
