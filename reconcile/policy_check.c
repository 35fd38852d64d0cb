#include "base/buf.h"
#include "reconcile/policy_file.h"

#define CHECKS_MAX     500 /* each is a probe for each of its clients, every few seconds */
#define CHECK_NAME_MAX 63

struct check_reader {
	const char *what; /* "checks.tls" */
	const struct node *node;
	struct arena *arena;
	struct problems *problems;
};

bool policy_read_argv(const struct node *node, const char *name, struct arena *arena,
	struct key_texts *argv_out, struct problems *problems)
{
	static const char fix[] = "write a list of arguments: [/usr/bin/command, --flag]";
	bool is_list = node->kind == NODE_LIST && node->count;
	if (!is_list)
		return policy_problem(
			problems, node, fix, "'%s' must be a list of arguments", name);
	struct key_texts argv = {
		.items = arena_array(arena, node->count, sizeof(*argv.items)),
		.nodes = arena_array(arena, node->count, sizeof(*argv.nodes)),
	};
	for (size_t i = 0; i < node->count; i++) {
		const struct node *item = node->items[i];
		if (item->kind != NODE_STRING)
			return policy_problem(problems, item, "write it in quotes",
				"argument %zu of '%s' must be a text, not a %s", i, name,
				node_kind_name(item->kind));
		argv.nodes[argv.count] = item;
		argv.items[argv.count++] = arena_dup(arena, item->text, item->len);
	}
	if (!argv.items[0][0])
		return policy_problem(problems, node, fix, "'%s' names no command", name);
	*argv_out = argv;
	return true;
}

static bool is_name(const char *text)
{
	size_t len =
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
	return len && len <= CHECK_NAME_MAX && !text[len] && text[0] != '.' && text[0] != '-';
}

/* Which of http, tcp, tls and command is there: exactly one must be. */
static bool pick_kind(const struct check_reader *reader, const struct check_file *file,
	struct policy_check *check)
{
	const char *const targets[] = {
		[CHECK_HTTP] = file->http, [CHECK_TCP] = file->tcp, [CHECK_TLS] = file->tls};
	size_t count = file->command ? 1 : 0;
	check->kind = CHECK_COMMAND;
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		if (!targets[i])
			continue;
		count++;
		check->kind = (enum check_kind)i;
		check->target = targets[i];
	}
	if (count == 1)
		return true;
	return policy_problem(reader->problems, reader->node,
		"write exactly one of http, tcp, tls and command", "'%s' has %s", reader->what,
		count ? "several probes" : "no probe");
}

/* Keys that would be accepted and ignored. */
static bool refuse_strangers(const struct check_reader *reader, enum check_kind kind)
{
	static const struct {
		const char *key;
		enum check_kind kind;
		const char *kind_name;
	} owned[] = {
		{"status", CHECK_HTTP, "http"},
		{"json", CHECK_HTTP, "http"},
		{"body", CHECK_HTTP, "http"},
		{"headers", CHECK_HTTP, "http"},
		{"min_days", CHECK_TLS, "tls"},
	};
	bool good = true;
	for (size_t i = 0; i < ARRAY_LEN(owned); i++) {
		const struct node *value = node_get(reader->node, owned[i].key);
		if (value && owned[i].kind != kind)
			good = policy_problem(reader->problems, value, "remove the key",
				"'%s.%s' means something for %s checks only", reader->what,
				owned[i].key, owned[i].kind_name);
	}
	return good;
}

bool policy_may_be_url(const char *text)
{
	return !strncmp(text, "http://", 7) || !strncmp(text, "https://", 8) ||
	       !strncmp(text, "{{", 2);
}

static bool check_target(const struct check_reader *reader, const struct policy_check *check)
{
	const char *target = check->target;
	if (check->kind == CHECK_COMMAND)
		return true;
	bool is_http = check->kind == CHECK_HTTP;
	bool good =
		is_http ? policy_may_be_url(target) : strrchr(target, ':') || strstr(target, "{{");
	if (good)
		return true;
	const struct node *place = node_get(reader->node, is_http                    ? "http"
							  : check->kind == CHECK_TCP ? "tcp"
										     : "tls");
	return policy_problem(reader->problems, place,
		is_http ? "begin it with http:// or https://" : "write host:port",
		"'%s' has the target '%.80s'", reader->what, target);
}

static bool check_json(const struct check_reader *reader, const struct node *json)
{
	if (!json || (json->kind == NODE_MAP && json->count))
		return true;
	return policy_problem(reader->problems, json, "write it as {installed: true}",
		"'%s.json' must be a map of expected members", reader->what);
}

static bool is_token(const char *text)
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  "!#$%&'*+-.^_`|~"; /* RFC 9110 section 5.6.2 */
	return *text && !text[strspn(text, set)];
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7F)
			return true;
	return false;
}

bool policy_check_headers(const struct node *headers, const char *what, struct problems *problems)
{
	bool good = true;
	if (!headers)
		return true;
	if (headers->kind != NODE_MAP)
		return policy_problem(problems, headers, "write it as {Accept: text/html}",
			"'%s.headers' must be a map of headers", what);
	for (size_t i = 0; i < headers->count; i++) {
		const struct node_entry *entry = &headers->map[i];
		if (!is_token(entry->key))
			good = policy_problem(problems, entry->value, "",
				"'%.60s' can not be the name of a header", entry->key);
		else if (entry->value->kind != NODE_STRING || has_control(entry->value->text))
			good = policy_problem(problems, entry->value,
				"write it in quotes, in one line",
				"header '%.60s' of '%s' must be a text", entry->key, what);
	}
	return good;
}

static bool read_check(const struct check_reader *reader, struct policy_check *check)
{
	struct check_file file = {0};
	if (!keys_read(policy_check_keys, reader->what, reader->node, POLICY_FILE, reader->arena,
		    &file, reader->problems))
		return false;
	bool good = pick_kind(reader, &file, check);
	good = good && refuse_strangers(reader, check->kind);
	good = good && check_target(reader, check);
	good = check_json(reader, file.json) && good;
	good = policy_check_headers(file.headers, reader->what, reader->problems) && good;
	if (good && file.command)
		good = policy_read_argv(file.command,
			arena_printf(reader->arena, "%s.command", reader->what), reader->arena,
			&check->command, reader->problems);
	check->app = file.app;
	check->status = file.status;
	check->json = file.json;
	check->body = file.body;
	check->headers = file.headers;
	check->timeout_ms = file.timeout_ms;
	check->min_days = file.min_days;
	check->node = reader->node;
	return good;
}

bool policy_read_checks(const struct policy_raw *raw, struct arena *arena, struct policy *policy,
	struct problems *problems)
{
	const struct node *checks = raw->checks;
	bool good = true;
	if (!checks)
		return true;
	if (checks->kind != NODE_MAP)
		return policy_problem(problems, checks, "write it as 'checks: {name: {http: ...}}'",
			"'checks' must be a map of named checks, not a %s",
			node_kind_name(checks->kind));
	if (checks->count > CHECKS_MAX)
		return policy_problem(problems, checks, "",
			"%zu checks are more than the limit of %d", checks->count, CHECKS_MAX);
	policy->checks = arena_array(arena, checks->count, sizeof(*policy->checks));
	policy->check_count = checks->count;
	for (size_t i = 0; i < checks->count; i++) {
		const struct node_entry *entry = &checks->map[i];
		struct check_reader reader = {
			.what = arena_printf(arena, "checks.%.80s", entry->key),
			.node = entry->value,
			.arena = arena,
			.problems = problems};
		policy->checks[i].name = entry->key;
		if (!is_name(entry->key))
			good = policy_problem(problems, entry->key_node,
				"use letters, digits, '.', '_' and '-', at most 63",
				"'%.80s' can not be the name of a check", entry->key);
		good = read_check(&reader, &policy->checks[i]) && good;
	}
	return good;
}
