#include "reconcile/fact_parts.h"
#include <assert.h>

static const char *verb_of(enum plan_action action)
{
	switch (action) {
	case PLAN_ONBOARD:
		return "onboard";
	case PLAN_ROLLBACK:
		return "rollback";
	default:
		return "deploy";
	}
}

static const char *version_of(const struct client_app *apps, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(apps[i].name, name))
			return apps[i].version;
	return NULL;
}

/* "nextcloud 28.0.2 -> 28.0.1" for the way back, or the releases if no version differs. */
static char *back_summary(const struct client_record *record, const struct plan_entry *entry,
	const struct member_record *member)
{
	auto_buf struct buf text = BUF_INIT(300);
	for (size_t i = 0; entry && i < entry->app_count; i++) {
		const struct client_app *app = &entry->apps[i];
		const char *before = version_of(record->apps, record->app_count, app->name);
		if (before && strcmp(before, app->version) != 0)
			buf_addf(&text, "%s%s %s -> %s", text.len ? ", " : "", app->name,
				app->version, before);
	}
	if (!text.len)
		buf_addf(&text, "release %.8s -> %.8s", member->to + strlen("sha256:"),
			record->known_good.release + strlen("sha256:"));
	return buf_steal(&text);
}

/* What a client's facts are made of. */
struct client_fact {
	const struct fact_context *context;
	const struct rollout_client *client;
	const struct member_record *member;
	const struct stage_record *stage;
	const struct plan_entry *entry;     /* NULL after a restart if the plan lacks it */
	const struct client_record *before; /* NULL for a new client */
};

static struct client_fact client_fact_of(const struct fact_context *context, size_t index)
{
	const struct rollout_client *client = &context->rollout->clients[index];
	return (struct client_fact){
		.context = context,
		.client = client,
		.member = client->record,
		.stage = context->rollout->stages[client->stage].record,
		.entry = context->plan ? plan_find(context->plan, client->record->client) : NULL,
		.before = status_client(context->status, client->record->client),
	};
}

static const char *summary_of(const struct client_fact *about)
{
	if (about->entry && about->entry->summary && about->entry->summary[0])
		return about->entry->summary;
	if (about->member->reasons.count)
		return about->member->reasons.items[0];
	return about->member->action == PLAN_ONBOARD ? "new client" : "release changed";
}

/* A fact with the trailers that all facts of a client share, and the record to be changed. */
static struct fact *fact_client(const struct client_fact *about, char *subject, const char *result)
{
	const struct rollout_record *rollout = &about->context->rollout->record;
	struct fact *fact = mem_zero(1, sizeof(*fact));
	fact->subject = subject;
	fact_add_trailer(fact, "Rollout", rollout->id);
	fact_add_trailer(fact, "Client", about->member->client);
	fact_add_trailer(fact, "Stage", about->stage->name);
	fact_add_trailer(fact, "Action", plan_action_name(about->member->action));
	fact_add_trailer(fact, "Result", result);
	fact_add_trailer(fact, "Source-Commit", rollout->commit);
	fact->client = mem_zero(1, sizeof(*fact->client));
	if (about->before)
		client_record_copy(fact->client, about->before);
	else
		fact->client->client = mem_dup_str(about->member->client);
	fact->client->updated_s = about->context->wall_s;
	memcpy(fact->client->current.rollout, rollout->id, sizeof(rollout->id));
	return fact;
}

/* Where the wanted release goes: the client's place once that runs there, or if it has none. A
 * client that moves and is not reached still runs at its old place. */
static void take_place(struct client_record *record, const struct client_fact *about)
{
	if (!about->entry)
		return;
	mem_replace_str(&record->host, about->entry->host);
	mem_replace_str(&record->root, about->entry->root);
}

static struct release_ref wanted_ref(const struct client_fact *about)
{
	const struct rollout_record *rollout = &about->context->rollout->record;
	struct release_ref ref = {0};
	memcpy(ref.release, about->member->to, sizeof(ref.release));
	memcpy(ref.release_key, about->member->to_key, sizeof(ref.release_key));
	memcpy(ref.commit, about->member->commit[0] ? about->member->commit : rollout->commit,
		sizeof(ref.commit));
	memcpy(ref.rollout, rollout->id, sizeof(ref.rollout));
	return ref;
}

struct fact *fact_client_started(const struct fact_context *context, size_t index)
{
	struct client_fact about = client_fact_of(context, index);
	const char *client = about.member->client;
	struct fact *fact = fact_client(&about,
		mem_printf("%s(%s): %s: started", verb_of(about.member->action), client,
			summary_of(&about)),
		"started");
	struct client_record *record = fact->client;
	mem_replace_str(&record->stage, about.stage->name);
	if (!record->root)
		take_place(record, &about);
	mem_replace_str(&record->going_back, NULL);
	record->restore = RESTORE_NO;
	record->ended = MEMBER_PENDING;
	record->state = about.member->action == PLAN_ONBOARD ? CLIENT_ONBOARDING : CLIENT_DEPLOYING;
	fact_add_trailer(fact, "Release", about.member->to);
	fact_add_trailer(fact, "Plan", context->rollout->record.plan);
	if (record->known_good.release[0]) {
		fact->tag = mem_printf("rollback/%s/%s", client, context->rollout->record.id);
		memcpy(fact->tag_commit, record->known_good.commit, sizeof(fact->tag_commit));
		fact->keep_tags = context->plan ? context->plan->keep_rollback_tags : 0;
		fact->tag_message = mem_printf("known good release of %s before rollout %s\n\n%s",
			client, context->rollout->record.id, record->known_good.release);
		mem_replace_str(&record->rollback_tag, fact->tag);
		fact_add_trailer(fact, "Rollback-Tag", fact->tag);
	}
	fact_add_trailer(fact, "Author", context->author);
	fact_add_trailer(fact, "Signed-By", context->signed_by);
	fact_add_reasons(fact, &about.member->reasons);
	fact_add_client_file(fact);
	return fact;
}

/* Whose data a backup of now holds; "" where nobody knows what runs. */
static const char *release_of_data(const struct client_fact *about)
{
	if (about->client->activated)
		return about->member->to;
	bool known = about->before && !about->before->unsure && !about->before->drift.found;
	return known ? about->before->current.release : "";
}

/* One that the way back needs is not forgotten for one of data that it cannot use. */
static void take_backup(struct client_record *record, const struct client_fact *about)
{
	const char *release = release_of_data(about);
	const char *good = record->known_good.release;
	bool needed = record->backup.name[0] && good[0] && !strcmp(record->backup.release, good);
	if (needed && strcmp(release, good) != 0)
		return;
	rollout_backup_name(about->context->rollout, about->client, record->backup.name);
	(void)snprintf(
		record->backup.release, sizeof(record->backup.release), "%s", release); /* fits */
}

struct fact *fact_client_backup(const struct fact_context *context, size_t index)
{
	struct client_fact about = client_fact_of(context, index);
	char name[BACKUP_TEXT];
	rollout_backup_name(context->rollout, about.client, name);
	struct fact *fact = fact_client(&about,
		mem_printf("%s(%s): %s: backup %s", verb_of(about.member->action),
			about.member->client, summary_of(&about), name),
		NULL);
	take_backup(fact->client, &about);
	fact_add_trailer(fact, "Release", release_of_data(&about));
	fact_add_trailer(fact, "Backup", name);
	fact_add_client_file(fact);
	return fact;
}

struct fact *fact_client_asks(const struct fact_context *context, size_t index)
{
	struct client_fact about = client_fact_of(context, index);
	struct fact *fact = fact_client(&about,
		mem_printf("rollback(%s): waits for a person: restore the data of backup %s?",
			about.member->client, about.before ? about.before->backup.name : ""),
		"waiting");
	fact->client->state = CLIENT_WAITING;
	fact->client->restore = RESTORE_ASKED;
	mem_replace_str(&fact->client->going_back, about.client->failure);
	fact_add_trailer(fact, "Release", fact->client->known_good.release);
	fact_add_trailer(fact, "Rollback-Tag", fact->client->rollback_tag);
	fact_add_trailer(fact, "Backup", fact->client->backup.name);
	fact_add_trailer(fact, "Reason", about.client->failure);
	fact_add_client_file(fact);
	return fact;
}

struct fact *fact_client_back(const struct fact_context *context, size_t index)
{
	struct client_fact about = client_fact_of(context, index);
	assert(about.before); /* its intent was recorded */
	auto_free char *summary = back_summary(about.before, about.entry, about.member);
	struct fact *fact = fact_client(&about,
		mem_printf("rollback(%s): %s: going back", about.member->client, summary), NULL);
	fact->client->state = CLIENT_DEPLOYING;
	fact->client->restore = about.client->restore;
	mem_replace_str(&fact->client->going_back, about.client->failure);
	fact_add_trailer(fact, "Release", fact->client->known_good.release);
	fact_add_trailer(fact, "Rollback-Tag", fact->client->rollback_tag);
	if (about.client->restore == RESTORE_YES)
		fact_add_trailer(fact, "Backup", fact->client->backup.name);
	fact_add_trailer(fact, "Reason", about.client->failure);
	fact_add_client_file(fact);
	return fact;
}

struct fact *fact_client_retry(const struct fact_context *context, size_t index)
{
	struct client_fact about = client_fact_of(context, index);
	const struct rollout_client *client = about.client;
	struct fact *fact = fact_client(&about,
		mem_printf("%s(%s): attempt %lld failed, is repeated",
			client->going_back ? "rollback" : verb_of(about.member->action),
			about.member->client, (long long)client->attempts),
		NULL);
	fact_add_trailer(fact, "Reason", client->attempt);
	fact_add_client_file(fact);
	return fact;
}

struct fact *fact_client_waiting(const struct fact_context *context, size_t index)
{
	struct client_fact about = client_fact_of(context, index);
	struct fact *fact = fact_client(&about,
		mem_printf("%s(%s): %s: host unreachable", verb_of(about.member->action),
			about.member->client, summary_of(&about)),
		"waiting");
	fact->client->state = CLIENT_WAITING;
	fact_add_trailer(fact, "Reason", about.client->failure);
	fact_add_client_file(fact);
	return fact;
}

/* ---- a client's last word ----------------------------------------------------------------------
 */

static void remember_good(struct client_record *record, const struct release_ref *ref)
{
	struct release_ref good[STATUS_GOOD_MAX] = {*ref};
	size_t count = 1;
	for (size_t i = 0; i < record->good_count && count < STATUS_GOOD_MAX; i++)
		if (strcmp(record->good[i].release, ref->release) != 0)
			good[count++] = record->good[i];
	record->good = mem_resize(record->good, count, sizeof(*record->good));
	memcpy(record->good, good, count * sizeof(*good));
	record->good_count = count;
	record->known_good = *ref;
}

static void take_apps(struct client_record *record, const struct plan_entry *entry)
{
	if (!entry)
		return;
	for (size_t i = 0; i < record->app_count; i++) {
		free(record->apps[i].name);
		free(record->apps[i].version);
	}
	record->apps = mem_resize(record->apps, entry->app_count, sizeof(*record->apps));
	record->app_count = entry->app_count;
	for (size_t i = 0; i < entry->app_count; i++)
		record->apps[i] = (struct client_app){.name = mem_dup_str(entry->apps[i].name),
			.version = mem_dup_str(entry->apps[i].version)};
}

/* Whatever the host ran beside its record, it does not run any more. Whether a repair did it is for
 * the next question to tell. */
static void end_drift(struct client_record *record, const struct rollout_record *rollout)
{
	if (rollout->drift && record->drift.found)
		memcpy(record->drift.repair, rollout->id, sizeof(rollout->id));
	else
		drift_clear(&record->drift);
}

/* The host runs the wanted release now. */
static void take_release(struct client_record *record, const struct client_fact *about)
{
	struct release_ref wanted = wanted_ref(about);
	if (record->current.release[0] && strcmp(record->current.release, wanted.release) != 0)
		record->previous = record->current;
	record->current = wanted;
	take_apps(record, about->entry);
	take_place(record, about);
	end_drift(record, &about->context->rollout->record);
}

static void end_healthy(struct client_record *record, const struct client_fact *about)
{
	take_release(record, about);
	record->unsure = false;
	record->state = CLIENT_HEALTHY;
	if (about->stage->state == STAGE_SUCCEEDED)
		remember_good(record, &record->current);
}

static void end_rolled_back(struct client_record *record)
{
	char rollout[ROLLOUT_TEXT];
	memcpy(rollout, record->current.rollout, sizeof(rollout));
	record->current = record->known_good;
	memcpy(record->current.rollout, rollout, sizeof(rollout));
	drift_clear(&record->drift);
	record->unsure = false;
	record->state = CLIENT_ROLLED_BACK;
}

static void end_failed(struct client_record *record, const struct client_fact *about)
{
	const struct rollout *rollout = about->context->rollout;
	bool untouched = rollout_client_is_untouched(rollout, about->client);
	bool stays = about->client->restore == RESTORE_ASKED; /* nobody said yes */
	if (!untouched && rollout->roll_back && about->client->has_good && !stays)
		end_rolled_back(record); /* as far as we know: the way back was tried and failed */
	else if (!untouched)
		take_release(record, about);
	record->unsure |= !untouched;
	record->state = CLIENT_FAILED;
}

static void end_untouched(struct client_record *record)
{
	bool good = record->known_good.release[0] &&
		    !strcmp(record->known_good.release, record->current.release);
	record->state = record->unsure ? CLIENT_FAILED : good ? CLIENT_HEALTHY : CLIENT_WAITING;
}

static void end_record(struct client_record *record, const struct client_fact *about)
{
	switch (about->member->state) {
	case MEMBER_HEALTHY:
		end_healthy(record, about);
		break;
	case MEMBER_ROLLED_BACK:
		end_rolled_back(record);
		break;
	case MEMBER_FAILED:
		end_failed(record, about);
		break;
	default:
		if (about->client->activated) {
			take_release(record, about);
			record->unsure = false;
		}
		end_untouched(record);
		break;
	}
}

static const char *result_of(enum member_state state)
{
	return state == MEMBER_HEALTHY ? "succeeded" : member_state_name(state);
}

/* That which was made in this rollout, or brought back by it. */
static void add_backup(struct fact *fact, const struct client_fact *about)
{
	char name[BACKUP_TEXT];
	rollout_backup_name(about->context->rollout, about->client, name);
	if (about->client->restore == RESTORE_YES || !strcmp(fact->client->backup.name, name))
		fact_add_trailer(fact, "Backup", fact->client->backup.name);
}

struct fact *fact_client_ended(const struct fact_context *context, size_t index)
{
	struct client_fact about = client_fact_of(context, index);
	enum member_state state = about.member->state;
	const char *client = about.member->client, *result = result_of(state);
	char *subject;
	if (state == MEMBER_ROLLED_BACK) {
		auto_free char *summary = back_summary(about.before, about.entry, about.member);
		subject = mem_printf("rollback(%s): %s", client, summary);
	} else {
		subject = mem_printf("%s(%s): %s: %s", verb_of(about.member->action), client,
			summary_of(&about), result);
	}
	struct fact *fact = fact_client(&about, subject, result);
	mem_replace_str(&fact->client->stage, about.stage->name);
	mem_replace_str(&fact->client->going_back, NULL);
	fact->client->restore = RESTORE_NO;
	fact->client->ended = (int)state;
	end_record(fact->client, &about);
	fact_add_trailer(fact, "Release", fact->client->current.release);
	fact_add_trailer(fact, "Plan", context->rollout->record.plan);
	fact_add_trailer(fact, "Rollback-Tag", fact->client->rollback_tag);
	add_backup(fact, &about);
	fact_add_duration(fact, about.member->started_s, about.member->finished_s);
	fact_add_trailer(fact, "Author", context->author);
	fact_add_trailer(fact, "Signed-By", context->signed_by);
	if (about.client->failed || about.client->unreachable)
		fact_add_trailer(fact, "Reason", about.client->failure);
	else
		fact_add_reasons(fact, &about.member->reasons);
	fact_add_client_file(fact);
	return fact;
}

struct fact *fact_client_held(const struct fact_context *context, size_t index)
{
	struct client_fact about = client_fact_of(context, index);
	const struct member_record *member = about.member;
	struct fact *fact =
		fact_client(&about, fact_hold_subject(member->client, member->to), "held");
	struct client_hold *hold = &fact->client->hold;
	hold->held = true;
	hold->by_hand = false;
	memcpy(hold->commit, context->rollout->record.commit, sizeof(hold->commit));
	memcpy(hold->release, member->to, sizeof(hold->release));
	memcpy(hold->release_key, member->to_key, sizeof(hold->release_key));
	memcpy(hold->checks, member->checks, sizeof(hold->checks));
	mem_replace_str(&hold->reason, about.client->failure);
	fact_add_trailer(fact, "Release", member->to);
	fact_add_trailer(fact, "Reason", about.client->failure);
	fact_add_client_file(fact);
	return fact;
}
