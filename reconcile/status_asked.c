/* What people asked for, in records: pauses (design.md section 6). */
#include "base/clock.h"
#include "base/emit.h"
#include "reconcile/status.h"

void pause_clear(struct pause *pause)
{
	free(pause->reason);
	free(pause->by);
	*pause = (struct pause){0};
}

void pause_copy(struct pause *to, const struct pause *from)
{
	*to = *from;
	to->reason = mem_dup_str(from->reason);
	to->by = mem_dup_str(from->by);
}

void asked_record_clear(struct asked_record *record)
{
	pause_clear(&record->pause);
}

void asked_record_copy(struct asked_record *to, const struct asked_record *from)
{
	*to = *from;
	pause_copy(&to->pause, &from->pause);
}

void status_put_asked(struct status *status, const struct asked_record *record)
{
	asked_record_clear(&status->asked);
	asked_record_copy(&status->asked, record);
}

void pause_emit(
	struct emitter *emitter, const char *key, const struct pause *pause, const char *was)
{
	if (!pause->paused)
		return;
	emit_map(emitter, key);
	emit_opt(emitter, "was", was);
	emit_opt(emitter, "reason", pause->reason);
	emit_opt(emitter, "by", pause->by);
	emit_time(emitter, "since", pause->since_s);
	emit_close(emitter);
}

static const char *text_of(const struct node *map, const char *key)
{
	const struct node *node = node_get(map, key);
	return node && node->kind == NODE_STRING ? node->text : NULL;
}

static bool read_time(const struct node *map, const char *key, int64_t *wall_s, struct error *err)
{
	const struct node *node = node_get(map, key);
	if (!node || (node->text && clock_parse(node->text, wall_s)))
		return true;
	return node_error(err, node, "'%s' is no time", key);
}

bool pause_read(const struct node *map, struct pause *pause, struct error *err)
{
	if (!map || map->kind != NODE_MAP)
		return true;
	if (!read_time(map, "since", &pause->since_s, err))
		return false;
	pause->paused = true;
	pause->reason = mem_dup_str(text_of(map, "reason"));
	pause->by = mem_dup_str(text_of(map, "by"));
	return true;
}

void asked_record_to_yaml(const struct asked_record *record, struct buf *out)
{
	struct emitter emitter;
	emit_begin(&emitter, EMIT_YAML, out);
	pause_emit(&emitter, "paused", &record->pause, NULL);
	emit_end(&emitter);
}

bool asked_record_from_node(
	const struct node *node, struct asked_record *record_out, struct error *err)
{
	*record_out = (struct asked_record){0};
	return pause_read(node_get(node, "paused"), &record_out->pause, err);
}
