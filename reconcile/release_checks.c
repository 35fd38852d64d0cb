#include "base/buf.h"
#include "reconcile/release_parts.h"
#include "templates/mustache.h"

struct check_reader {
	const struct node *context;
	struct arena *arena;
	struct problems *problems;
	bool good;
};

static const char *render(struct check_reader *reader, const struct node *place, const char *text)
{
	auto_free char *out = NULL;
	struct error err;
	if (!text)
		return NULL;
	if (!mustache_text(place, text, reader->context, &out, &err)) {
		problems_add_error(reader->problems, &err);
		reader->good = false;
		return "";
	}
	if (fleet_text_is_jinja(out)) {
		node_error(&err, place, "'%s' becomes a Jinja expression", text);
		error_hint(&err, "write the variable's value itself: only Ansible reads Jinja");
		problems_add_error(reader->problems, &err);
		reader->good = false;
	}
	return arena_str(reader->arena, out);
}

static void render_headers(
	struct check_reader *reader, const struct node *headers, struct client_check *check)
{
	check->headers = arena_array(
		reader->arena, (headers ? headers->count : 0) + 1, sizeof(*check->headers));
	for (size_t i = 0; headers && i < headers->count; i++) {
		const struct node_entry *entry = &headers->map[i];
		const char *value = render(reader, entry->value, entry->value->text);
		check->headers[i] =
			arena_printf(reader->arena, "%s: %s", entry->key, value ? value : "");
	}
}

static void render_check(
	struct check_reader *reader, const struct policy_check *policy, struct client_check *check)
{
	check->policy = policy;
	check->target = render(reader, policy->node, policy->target);
	check->body = render(reader, policy->node, policy->body);
	check->argv = arena_array(reader->arena, policy->command.count + 1, sizeof(*check->argv));
	for (size_t i = 0; i < policy->command.count; i++)
		check->argv[i] = render(reader,
			policy->command.nodes ? policy->command.nodes[i] : policy->node,
			policy->command.items[i]);
	render_headers(reader, policy->headers, check);
}

static bool applies(const struct policy_check *check, const struct client *client)
{
	const char *app = check->app ? check->app : check->name;
	if (!strcmp(app, "all"))
		return true;
	for (size_t i = 0; i < client->app_count; i++)
		if (!strcmp(client->apps[i], app))
			return true;
	return false;
}

bool release_checks(const struct fleet *fleet, const struct client *client, struct arena *arena,
	struct client_check **checks_out, size_t *count_out, struct problems *problems)
{
	const struct policy *policy = fleet->policy;
	struct client_check *checks = arena_array(arena, policy->check_count + 1, sizeof(*checks));
	struct check_reader reader = {client_context(client, arena), arena, problems, true};
	size_t count = 0;

	for (size_t i = 0; i < policy->check_count; i++)
		if (applies(&policy->checks[i], client))
			render_check(&reader, &policy->checks[i], &checks[count++]);
	if (!reader.good)
		return false;
	*checks_out = checks;
	*count_out = count;
	return true;
}

static void add_text(struct buf *text, const char *name, const char *value)
{
	buf_addf(text, "%s %zu %s\n", name, value ? strlen(value) : 0, value ? value : "-");
}

static void add_check(struct buf *text, const struct client_check *check)
{
	const struct policy_check *policy = check->policy;
	add_text(text, "check", policy->name);
	buf_addf(text, "kind %d timeout %lld status %lld days %lld\n", (int)policy->kind,
		(long long)policy->timeout_ms, (long long)policy->status,
		(long long)policy->min_days);
	add_text(text, "target", check->target);
	add_text(text, "body", check->body);
	for (size_t i = 0; check->argv[i]; i++)
		add_text(text, "argument", check->argv[i]);
	for (size_t i = 0; check->headers[i]; i++)
		add_text(text, "header", check->headers[i]);
	if (policy->json)
		node_to_json(policy->json, 0, true, text);
	buf_add_char(text, '\n');
}

bool release_checks_digest(const struct fleet *fleet, const struct client *client,
	char digest_out[DIGEST_TEXT], struct problems *problems)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_buf struct buf text = BUF_INIT((size_t)16 << 20);
	struct client_check *checks = NULL;
	size_t count = 0;

	if (!release_checks(fleet, client, arena, &checks, &count, problems))
		return false;
	digest_out[0] = '\0'; /* no checks: nothing to tell apart */
	if (!count)
		return true;
	buf_add_str(&text, "aviary checks 1\n");
	for (size_t i = 0; i < count; i++)
		add_check(&text, &checks[i]);
	release_digest_text(&text, digest_out);
	return true;
}
