#include "reconcile/pin.h"
#include "base/clock.h"
#include "base/emit.h"
#include "reconcile/fleet.h"
#include "reconcile/status_parts.h"

#define DAY_S 86400

bool pin_day_end(const char *until, int64_t *end_s_out)
{
	char text[CLOCK_TEXT_SIZE];
	int64_t begin_s;
	if (strlen(until) != strlen("2027-01-31"))
		return false;
	(void)snprintf(text, sizeof(text), "%.10sT00:00:00Z", until); /* fits */
	if (!clock_parse(text, &begin_s))
		return false;
	*end_s_out = begin_s + DAY_S;
	return true;
}

/* ---- the inventory ----------------------------------------------------------------------------
 */

/* @return always false */
PRINTF(4, 5)
static bool refuse(const struct node *place, const char *fix, struct problems *problems,
	const char *format, ...)
{
	va_list args;
	char text[400];
	if (!problems)
		return false;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args); /* long text is cut */
	va_end(args);
	problems_add(problems, place->file, place->line, fix, "%s", text);
	return false;
}

static bool read_keys(const struct node *map, const char *name, struct problems *problems)
{
	static const char *const keys[] = {"until", "reason"};
	for (size_t i = 0; i < map->count; i++) {
		const char *key = map->map[i].key;
		const struct node *place =
			map->map[i].key_node ? map->map[i].key_node : map->map[i].value;
		if (!strcmp(key, keys[0]) || !strcmp(key, keys[1]))
			continue;
		const char *near = nearest_name(key, keys, ARRAY_LEN(keys));
		auto_free char *fix = near ? mem_printf("did you mean '%s'?", near)
					   : mem_dup_str("it has the keys 'until' and 'reason'");
		return refuse(place, fix, problems, "'aviary_pin' of host '%s' has no key '%.60s'",
			name, key);
	}
	return true;
}

static bool read_until(
	const struct node *map, const char *name, struct client_pin *pin, struct problems *problems)
{
	static const char fix[] = "write a day, for example until: 2027-01-31";
	const struct node *until = node_get(map, "until");
	if (!until)
		return refuse(map, fix, problems, "'aviary_pin' of host '%s' has no 'until'", name);
	if ((until->kind != NODE_STRING && until->kind != NODE_TIME) ||
		!pin_day_end(until->text, &pin->end_s))
		return refuse(until, fix, problems,
			"'until' of the pin of host '%s' is no day: '%.60s'", name,
			until->text ? until->text : node_kind_name(until->kind));
	pin->until = until->text;
	return true;
}

/* It becomes one line of a commit message. */
static bool read_reason(
	const struct node *map, const char *name, struct client_pin *pin, struct problems *problems)
{
	static const char fix[] = "say why, in one line of text";
	const struct node *reason = node_get(map, "reason");
	if (!reason)
		return refuse(
			map, fix, problems, "'aviary_pin' of host '%s' has no 'reason'", name);
	bool good = reason->kind == NODE_STRING && reason->len && reason->len <= PIN_REASON_MAX &&
		    !fleet_text_is_jinja(reason->text);
	for (size_t i = 0; good && i < reason->len; i++)
		good = (unsigned char)reason->text[i] >= ' ' && reason->text[i] != 0x7f;
	if (!good)
		return refuse(reason, fix, problems,
			"'reason' of the pin of host '%s' is not one line of at most %d bytes",
			name, PIN_REASON_MAX);
	pin->reason = reason->text;
	return true;
}

bool pin_from_node(const struct node *node, const char *name, struct client_pin *pin_out,
	struct problems *problems)
{
	struct client_pin pin = {.place = node};
	if (node->kind != NODE_MAP)
		return refuse(node, "write aviary_pin: {until: 2027-01-31, reason: ...}", problems,
			"'aviary_pin' of host '%s' must be a map, not a %s", name,
			node_kind_name(node->kind));
	if (!read_keys(node, name, problems) || !read_until(node, name, &pin, problems) ||
		!read_reason(node, name, &pin, problems))
		return false;
	*pin_out = pin;
	return true;
}

/* ---- records ----------------------------------------------------------------------------------
 */

void pin_clear(struct pin *pin)
{
	free(pin->reason);
	*pin = (struct pin){0};
}

void pin_copy(struct pin *to, const struct pin *from)
{
	*to = *from;
	to->reason = mem_dup_str(from->reason);
}

void pin_emit(struct emitter *emitter, const struct pin *pin)
{
	if (!pin->pinned)
		return;
	emit_map(emitter, "pinned");
	emit_str(emitter, "until", pin->until);
	emit_opt(emitter, "reason", pin->reason);
	emit_opt(emitter, "commit", pin->commit);
	emit_time(emitter, "since", pin->since_s);
	emit_close(emitter);
}

bool pin_read(const struct node *map, struct pin *pin, struct error *err)
{
	int64_t end_s;
	if (!map || map->kind != NODE_MAP)
		return true;
	const char *until = record_text(map, "until"), *commit = record_text(map, "commit");
	if (!until || !pin_day_end(until, &end_s))
		return node_error(err, map, "a pin needs 'until', a day");
	if (commit && !oid_valid(commit))
		return node_error(err, map, "'%.60s' is no commit", commit);
	if (!record_time(map, "since", &pin->since_s, err))
		return false;
	pin->pinned = true;
	(void)snprintf(pin->until, sizeof(pin->until), "%s", until); /* a day fits */
	(void)snprintf(pin->commit, sizeof(pin->commit), "%s", commit ? commit : "");
	pin->reason = mem_dup_str(record_text(map, "reason"));
	return true;
}
