/* Records of the status branch as YAML, as JSON, and back (design.md section 6). */
#include "base/clock.h"
#include "base/emit.h"
#include "reconcile/status_parts.h"

/* ---- writing --------------------------------------------------------------------------------- */

static void emit_ref_fields(struct emitter *emitter, const struct release_ref *ref)
{
	emit_opt(emitter, "release", ref->release);
	emit_opt(emitter, "release_key", ref->release_key);
	emit_opt(emitter, "commit", ref->commit);
}

static void emit_ref(struct emitter *emitter, const char *key, const struct release_ref *ref)
{
	if (!ref->release[0])
		return;
	emit_map(emitter, key);
	emit_ref_fields(emitter, ref);
	emit_opt(emitter, "rollout", ref->rollout);
	emit_close(emitter);
}

static void emit_hold(struct emitter *emitter, const struct client_hold *hold)
{
	if (!hold->held)
		return;
	emit_map(emitter, "held");
	emit_opt(emitter, "commit", hold->commit);
	emit_opt(emitter, "release", hold->release);
	emit_opt(emitter, "release_key", hold->release_key);
	emit_opt(emitter, "checks", hold->checks);
	if (hold->by_hand)
		emit_bool(emitter, "by_hand", true);
	emit_opt(emitter, "reason", hold->reason);
	emit_close(emitter);
}

/* While a rollout works on it, a paused client shows that. */
static bool client_state_moves(enum client_state state)
{
	return state == CLIENT_ONBOARDING || state == CLIENT_DEPLOYING;
}

static void emit_client(struct emitter *emitter, const struct client_record *record)
{
	const char *state = client_state_name(record->state);
	bool shown = record->pause.paused && !client_state_moves(record->state);
	emit_str(emitter, "client", record->client);
	emit_str(emitter, "state", shown ? client_state_name(CLIENT_PAUSED) : state);
	emit_opt(emitter, "stage", record->stage);
	emit_opt(emitter, "host", record->host);
	emit_opt(emitter, "root", record->root);
	emit_ref_fields(emitter, &record->current);
	emit_map(emitter, "apps");
	for (size_t i = 0; i < record->app_count; i++)
		emit_str(emitter, record->apps[i].name, record->apps[i].version);
	emit_close(emitter);
	emit_opt(emitter, "rollout", record->current.rollout);
	emit_ref(emitter, "known_good", &record->known_good);
	emit_ref(emitter, "previous", &record->previous);
	if (record->good_count) {
		emit_list(emitter, "good");
		for (size_t i = 0; i < record->good_count; i++)
			emit_ref(emitter, NULL, &record->good[i]);
		emit_close(emitter);
	}
	emit_opt(emitter, "rollback_tag", record->rollback_tag);
	emit_opt(emitter, "going_back", record->going_back);
	if (record->restore != RESTORE_NO)
		emit_str(emitter, "restore", restore_choice_name(record->restore));
	if (record->backup.name[0]) {
		emit_map(emitter, "backup");
		emit_str(emitter, "name", record->backup.name);
		emit_opt(emitter, "release", record->backup.release);
		emit_close(emitter);
	}
	if (record->ended != MEMBER_PENDING)
		emit_str(emitter, "ended", member_state_name((enum member_state)record->ended));
	if (record->unsure)
		emit_bool(emitter, "unsure", true);
	emit_hold(emitter, &record->hold);
	pause_emit(emitter, "paused", &record->pause, state);
	pin_emit(emitter, &record->pin);
	drift_emit(emitter, &record->drift);
	emit_time(emitter, "updated", record->updated_s);
}

static void emit_member(struct emitter *emitter, const struct member_record *member)
{
	emit_map(emitter, member->client);
	emit_str(emitter, "action", plan_action_name(member->action));
	emit_opt(emitter, "from", member->from);
	emit_opt(emitter, "to", member->to);
	emit_opt(emitter, "to_key", member->to_key);
	emit_opt(emitter, "checks", member->checks);
	emit_opt(emitter, "commit", member->commit);
	emit_str(emitter, "state", member_state_name(member->state));
	emit_strs(emitter, "reasons", &member->reasons);
	emit_time(emitter, "started", member->started_s);
	emit_time(emitter, "finished", member->finished_s);
	emit_close(emitter);
}

static void emit_stage(struct emitter *emitter, const struct stage_record *stage)
{
	char bake[CLOCK_TEXT_SIZE], expires[CLOCK_TEXT_SIZE];
	emit_map(emitter, NULL);
	emit_str(emitter, "name", stage->name);
	emit_str(emitter, "state", stage_state_name(stage->state));
	if (stage->manual)
		emit_str(emitter, "approval", "manual");
	if (stage->expires_ms)
		emit_str(emitter, "approval_expires", duration_format(stage->expires_ms, expires));
	emit_str(emitter, "bake", duration_format(stage->bake_ms, bake));
	emit_time(emitter, "bake_started", stage->bake_started_s);
	emit_map(emitter, "clients");
	for (size_t i = 0; i < stage->member_count; i++)
		emit_member(emitter, &stage->members[i]);
	emit_close(emitter);
	emit_close(emitter);
}

static void emit_rollout(struct emitter *emitter, const struct rollout_record *record)
{
	emit_str(emitter, "id", record->id);
	emit_str(emitter, "commit", record->commit);
	emit_opt(emitter, "plan", record->plan);
	emit_str(emitter, "state", rollout_state_name(record->state));
	if (record->by_hand)
		emit_bool(emitter, "by_hand", true);
	if (record->drift)
		emit_bool(emitter, "drift", true);
	if (record->forced)
		emit_bool(emitter, "forced", true);
	emit_strs(emitter, "reasons", &record->reasons);
	emit_strs(emitter, "notes", &record->notes);
	emit_opt(emitter, "over_limit", record->over_limit);
	emit_opt(emitter, "waits_for", record->waits_for);
	emit_time(emitter, "waits_since", record->waits_since_s);
	emit_time(emitter, "window_opens", record->window_opens_s);
	said_emit(emitter, record);
	emit_time(emitter, "started", record->started_s);
	emit_time(emitter, "finished", record->finished_s);
	emit_list(emitter, "stages");
	for (size_t i = 0; i < record->stage_count; i++)
		emit_stage(emitter, &record->stages[i]);
	emit_close(emitter);
}

void client_record_to_yaml(const struct client_record *record, struct buf *out)
{
	struct emitter emitter;
	emit_begin(&emitter, EMIT_YAML, out);
	emit_client(&emitter, record);
	emit_end(&emitter);
}

void client_record_to_json(const struct client_record *record, struct buf *out)
{
	struct emitter emitter;
	emit_begin(&emitter, EMIT_JSON, out);
	emit_client(&emitter, record);
	emit_end(&emitter);
}

void rollout_record_to_yaml(const struct rollout_record *record, struct buf *out)
{
	struct emitter emitter;
	emit_begin(&emitter, EMIT_YAML, out);
	emit_rollout(&emitter, record);
	emit_end(&emitter);
}

void rollout_record_to_json(const struct rollout_record *record, struct buf *out)
{
	struct emitter emitter;
	emit_begin(&emitter, EMIT_JSON, out);
	emit_rollout(&emitter, record);
	emit_end(&emitter);
}

/* ---- reading --------------------------------------------------------------------------------- */

const char *record_text(const struct node *map, const char *key)
{
	const struct node *node = node_get(map, key);
	bool scalar = node && node->kind != NODE_NULL && node->kind != NODE_MAP &&
		      node->kind != NODE_LIST;
	return scalar ? node->text : NULL;
}

static bool read_fixed(
	const struct node *map, const char *key, char *field, size_t size, struct error *err)
{
	const char *text = record_text(map, key);
	if (!text)
		return true;
	if (strlen(text) >= size)
		return node_error(
			err, node_get(map, key), "'%s' is longer than %zu bytes", key, size - 1);
	memcpy(field, text, strlen(text) + 1);
	return true;
}
#define READ_FIXED(map, key, field, err) read_fixed((map), (key), (field), sizeof(field), (err))

static bool read_word(const struct node *map, const char *key, const char *(*name)(int), int count,
	int *value_out, struct error *err)
{
	const char *text = record_text(map, key);
	for (int i = 0; text && i < count; i++) {
		if (strcmp(text, name(i)) != 0)
			continue;
		*value_out = i;
		return true;
	}
	return node_error(err, node_get(map, key) ? node_get(map, key) : map,
		"'%s' is not a known word: '%s'", key, text ? text : "");
}

/* One adapter per enum, so that read_word() takes them all. */
static const char *client_word(int i)
{
	return client_state_name((enum client_state)i);
}

static const char *action_word(int i)
{
	return plan_action_name((enum plan_action)i);
}

static const char *rollout_word(int i)
{
	return rollout_state_name((enum rollout_state)i);
}

static const char *stage_word(int i)
{
	return stage_state_name((enum stage_state)i);
}

static const char *member_word(int i)
{
	return member_state_name((enum member_state)i);
}

bool record_time(const struct node *map, const char *key, int64_t *wall_s, struct error *err)
{
	const char *text = record_text(map, key);
	if (!text)
		return true;
	return clock_parse(text, wall_s) ||
	       node_error(err, node_get(map, key), "'%s' is no time: '%s'", key, text);
}

static const char *restore_word(int i)
{
	return restore_choice_name((enum restore_choice)i);
}

static bool read_ref(const struct node *map, struct release_ref *ref, struct error *err)
{
	return READ_FIXED(map, "release", ref->release, err) &&
	       READ_FIXED(map, "release_key", ref->release_key, err) &&
	       READ_FIXED(map, "commit", ref->commit, err) &&
	       READ_FIXED(map, "rollout", ref->rollout, err);
}

bool record_flag(const struct node *map, const char *key)
{
	const struct node *flag = node_get(map, key);
	return flag && flag->kind == NODE_BOOL && flag->boolean;
}

static bool read_hold(const struct node *map, struct client_hold *hold, struct error *err)
{
	if (!map || map->kind != NODE_MAP)
		return true;
	hold->held = true;
	hold->by_hand = record_flag(map, "by_hand");
	hold->reason = mem_dup_str(record_text(map, "reason"));
	return READ_FIXED(map, "commit", hold->commit, err) &&
	       READ_FIXED(map, "release", hold->release, err) &&
	       READ_FIXED(map, "release_key", hold->release_key, err) &&
	       READ_FIXED(map, "checks", hold->checks, err);
}

static bool read_good(const struct node *list, struct client_record *record, struct error *err)
{
	if (!list || list->kind != NODE_LIST)
		return true;
	record->good = mem_zero(list->count, sizeof(*record->good));
	for (size_t i = 0; i < list->count; i++) {
		struct release_ref *ref = &record->good[record->good_count];
		*ref = (struct release_ref){0};
		if (!read_ref(list->items[i], ref, err))
			return false;
		record->good_count += ref->release[0] != '\0';
	}
	return true;
}

static bool read_backup(const struct node *map, struct client_record *record, struct error *err)
{
	const struct node *backup = node_get(map, "backup");
	int choice = RESTORE_NO;
	if (node_get(map, "restore") &&
		!read_word(map, "restore", restore_word, RESTORE_CHOICES, &choice, err))
		return false;
	record->restore = (enum restore_choice)choice;
	return !backup || (READ_FIXED(backup, "name", record->backup.name, err) &&
				  READ_FIXED(backup, "release", record->backup.release, err));
}

static void read_apps(const struct node *map, struct client_record *record)
{
	if (!map || map->kind != NODE_MAP)
		return;
	record->apps = mem_zero(map->count, sizeof(*record->apps));
	for (size_t i = 0; i < map->count; i++) {
		const char *version = record_text(map, map->map[i].key);
		record->apps[record->app_count].name = mem_dup_str(map->map[i].key);
		record->apps[record->app_count++].version = mem_dup_str(version ? version : "");
	}
}

/* The state beside the pause; the file shows `paused` instead. */
static bool read_paused(const struct node *map, struct client_record *record, struct error *err)
{
	int state;
	if (!map || map->kind != NODE_MAP)
		return true;
	if (!read_word(map, "was", client_word, CLIENT_STATES, &state, err) ||
		!pause_read(map, &record->pause, err))
		return false;
	record->state = (enum client_state)state;
	return true;
}

static bool client_read(const struct node *node, struct client_record *record, struct error *err)
{
	int state;
	if (node->kind != NODE_MAP || !record_text(node, "client"))
		return node_error(err, node, "a client's record needs 'client'");
	record->client = mem_dup_str(record_text(node, "client"));
	record->host = mem_dup_str(record_text(node, "host"));
	record->root = mem_dup_str(record_text(node, "root"));
	record->stage = mem_dup_str(record_text(node, "stage"));
	record->rollback_tag = mem_dup_str(record_text(node, "rollback_tag"));
	record->going_back = mem_dup_str(record_text(node, "going_back"));
	record->unsure = record_flag(node, "unsure");
	read_apps(node_get(node, "apps"), record);
	if (!read_word(node, "state", client_word, CLIENT_STATES, &state, err))
		return false;
	record->state = (enum client_state)state;
	if (node_get(node, "ended") &&
		!read_word(node, "ended", member_word, MEMBER_STATES, &record->ended, err))
		return false;
	const struct node *known_good = node_get(node, "known_good");
	const struct node *previous = node_get(node, "previous");
	return read_ref(node, &record->current, err) &&
	       (!known_good || read_ref(known_good, &record->known_good, err)) &&
	       (!previous || read_ref(previous, &record->previous, err)) &&
	       read_good(node_get(node, "good"), record, err) && read_backup(node, record, err) &&
	       read_hold(node_get(node, "held"), &record->hold, err) &&
	       read_paused(node_get(node, "paused"), record, err) &&
	       pin_read(node_get(node, "pinned"), &record->pin, err) &&
	       drift_read(node_get(node, "drift"), &record->drift, err) &&
	       record_time(node, "updated", &record->updated_s, err);
}

bool client_record_from_node(
	const struct node *node, struct client_record *record_out, struct error *err)
{
	struct client_record record = {0};
	if (!client_read(node, &record, err)) {
		client_record_clear(&record);
		return false;
	}
	*record_out = record;
	return true;
}

static void read_texts(const struct node *list, struct strlist *out)
{
	for (size_t i = 0; list && list->kind == NODE_LIST && i < list->count; i++)
		if (list->items[i]->text)
			strlist_add(out, list->items[i]->text);
}

static bool read_member(
	const struct node_entry *entry, struct member_record *member, struct error *err)
{
	const struct node *node = entry->value;
	int action, state;
	member->client = mem_dup_str(entry->key);
	read_texts(node_get(node, "reasons"), &member->reasons);
	if (!read_word(node, "action", action_word, PLAN_ACTIONS, &action, err) ||
		!read_word(node, "state", member_word, MEMBER_STATES, &state, err))
		return false;
	member->action = (enum plan_action)action;
	member->state = (enum member_state)state;
	return READ_FIXED(node, "from", member->from, err) &&
	       READ_FIXED(node, "to", member->to, err) &&
	       READ_FIXED(node, "to_key", member->to_key, err) &&
	       READ_FIXED(node, "checks", member->checks, err) &&
	       READ_FIXED(node, "commit", member->commit, err) &&
	       record_time(node, "started", &member->started_s, err) &&
	       record_time(node, "finished", &member->finished_s, err);
}

static bool read_stage(const struct node *node, struct stage_record *stage, struct error *err)
{
	int state;
	const struct node *clients = node_get(node, "clients");
	const char *bake = record_text(node, "bake");
	const char *expires = record_text(node, "approval_expires");
	if (!record_text(node, "name"))
		return node_error(err, node, "a stage's record needs 'name'");
	stage->name = mem_dup_str(record_text(node, "name"));
	if (!read_word(node, "state", stage_word, STAGE_STATES, &state, err) ||
		!record_time(node, "bake_started", &stage->bake_started_s, err))
		return false;
	stage->manual =
		record_text(node, "approval") && !strcmp(record_text(node, "approval"), "manual");
	if (expires && !duration_parse(expires, &stage->expires_ms))
		return node_error(err, node_get(node, "approval_expires"),
			"'approval_expires' is no duration: '%s'", expires);
	if (bake && !duration_parse(bake, &stage->bake_ms))
		return node_error(err, node_get(node, "bake"), "'bake' is no duration: '%s'", bake);
	stage->state = (enum stage_state)state;
	if (!clients || clients->kind != NODE_MAP)
		return true;
	stage->members = mem_zero(clients->count, sizeof(*stage->members));
	for (size_t i = 0; i < clients->count; i++) {
		stage->member_count++;
		if (!read_member(&clients->map[i], &stage->members[i], err))
			return false;
	}
	return true;
}

static bool rollout_read(const struct node *node, struct rollout_record *record, struct error *err)
{
	int state;
	int64_t id_s;
	const struct node *stages = node_get(node, "stages");
	if (node->kind != NODE_MAP || !record_text(node, "id"))
		return node_error(err, node, "a rollout's record needs 'id'");
	read_texts(node_get(node, "reasons"), &record->reasons);
	read_texts(node_get(node, "notes"), &record->notes);
	record->over_limit = mem_dup_str(record_text(node, "over_limit"));
	record->waits_for = mem_dup_str(record_text(node, "waits_for"));
	if (!READ_FIXED(node, "id", record->id, err) ||
		!READ_FIXED(node, "commit", record->commit, err) ||
		!READ_FIXED(node, "plan", record->plan, err) ||
		!read_word(node, "state", rollout_word, ROLLOUT_STATES, &state, err) ||
		!record_time(node, "waits_since", &record->waits_since_s, err) ||
		!record_time(node, "window_opens", &record->window_opens_s, err) ||
		!said_read(node, record, err) ||
		!record_time(node, "started", &record->started_s, err) ||
		!record_time(node, "finished", &record->finished_s, err))
		return false;
	if (!clock_parse_id(record->id, &id_s))
		return node_error(err, node_get(node, "id"), "'%s' is no rollout's id", record->id);
	record->state = (enum rollout_state)state;
	record->by_hand = record_flag(node, "by_hand");
	record->drift = record_flag(node, "drift");
	record->forced = record_flag(node, "forced");
	if (!stages || stages->kind != NODE_LIST)
		return true;
	record->stages = mem_zero(stages->count, sizeof(*record->stages));
	for (size_t i = 0; i < stages->count; i++) {
		record->stage_count++;
		if (!read_stage(stages->items[i], &record->stages[i], err))
			return false;
	}
	return true;
}

bool rollout_record_from_node(
	const struct node *node, struct rollout_record *record_out, struct error *err)
{
	struct rollout_record record = {0};
	if (!rollout_read(node, &record, err)) {
		rollout_record_clear(&record);
		return false;
	}
	*record_out = record;
	return true;
}
