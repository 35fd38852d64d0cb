/* Drift in the record of a client. */
#include "base/clock.h"
#include "base/emit.h"
#include "reconcile/status.h"

void drift_clear(struct drift *drift)
{
	free(drift->what);
	*drift = (struct drift){0};
}

void drift_copy(struct drift *to, const struct drift *from)
{
	*to = *from;
	to->what = mem_dup_str(from->what);
}

void drift_emit(struct emitter *emitter, const struct drift *drift)
{
	if (!drift->found)
		return;
	emit_map(emitter, "drift");
	emit_opt(emitter, "runs", drift->runs);
	emit_opt(emitter, "what", drift->what);
	emit_opt(emitter, "repair", drift->repair);
	emit_time(emitter, "since", drift->since_s);
	emit_close(emitter);
}

static bool read_text(
	const struct node *map, const char *key, char *field, size_t size, struct error *err)
{
	const struct node *node = node_get(map, key);
	if (!node || !node->text)
		return true;
	if (strlen(node->text) >= size)
		return node_error(err, node, "'%s' is longer than %zu bytes", key, size - 1);
	memcpy(field, node->text, strlen(node->text) + 1);
	return true;
}

bool drift_read(const struct node *map, struct drift *drift, struct error *err)
{
	if (!map || map->kind != NODE_MAP)
		return true;
	const struct node *what = node_get(map, "what");
	const struct node *since = node_get(map, "since");
	if (since && (!since->text || !clock_parse(since->text, &drift->since_s)))
		return node_error(err, since, "'since' is no time");
	drift->found = true;
	mem_replace_str(&drift->what, what ? what->text : NULL);
	return read_text(map, "runs", drift->runs, sizeof(drift->runs), err) &&
	       read_text(map, "repair", drift->repair, sizeof(drift->repair), err);
}
