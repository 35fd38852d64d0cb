#include "reconcile/fact.h"
#include "base/clock.h"
#include "base/emit.h"
#include <assert.h>

#define RECORD_LIMIT ((size_t)64 << 20) /* a rollout of 10,000 clients with reasons is 10 MiB */

void fact_free(struct fact *fact)
{
	if (!fact)
		return;
	free(fact->subject);
	free(fact->body);
	strlist_clear(&fact->trailer_keys);
	strlist_clear(&fact->trailer_values);
	for (size_t i = 0; i < fact->file_count; i++) {
		free(fact->files[i].path);
		free(fact->files[i].text);
	}
	free(fact->files);
	free(fact->tag);
	free(fact->tag_message);
	if (fact->client)
		client_record_clear(fact->client);
	free(fact->client);
	if (fact->rollout)
		rollout_record_clear(fact->rollout);
	free(fact->rollout);
	free(fact);
}

static void add_trailer(struct fact *fact, const char *key, const char *value)
{
	if (!value || !*value)
		return;
	strlist_add(&fact->trailer_keys, key);
	strlist_add(&fact->trailer_values, value);
}

/* Takes the text over; NULL removes the file. */
static void add_file(struct fact *fact, char *path, char *text, size_t len)
{
	fact->files = mem_resize(fact->files, fact->file_count + 1, sizeof(*fact->files));
	fact->files[fact->file_count++] = (struct fact_file){path, text, len};
}

static void add_client_file(struct fact *fact)
{
	auto_buf struct buf text = BUF_INIT(RECORD_LIMIT);
	client_record_to_yaml(fact->client, &text);
	size_t len = text.len;
	add_file(fact, mem_printf("clients/%s.yaml", fact->client->client), buf_steal(&text), len);
}

static void add_rollout_file(struct fact *fact, const struct rollout_record *record)
{
	auto_buf struct buf text = BUF_INIT(RECORD_LIMIT);
	fact->rollout = mem_zero(1, sizeof(*fact->rollout));
	rollout_record_copy(fact->rollout, record);
	rollout_record_to_yaml(record, &text);
	size_t len = text.len;
	add_file(fact, mem_printf("rollouts/%s.yaml", record->id), buf_steal(&text), len);
}

/* The tree keeps the newest records; older ones stay in the branch's history. */
static void prune_rollouts(struct fact *fact, const struct status *status)
{
	for (size_t i = STATUS_ROLLOUTS_MAX - 1; i < status->rollout_count; i++)
		add_file(fact, mem_printf("rollouts/%s.yaml", status->rollouts[i]->id), NULL, 0);
}

static void add_duration(struct fact *fact, int64_t from_s, int64_t to_s)
{
	char text[CLOCK_TEXT_SIZE];
	if (from_s && to_s >= from_s)
		add_trailer(fact, "Duration", duration_format((to_s - from_s) * 1000, text));
}

/* ---- the rollout ----------------------------------------------------------------------------- */

static void add_reasons(struct fact *fact, const struct strlist *reasons)
{
	for (size_t i = 0; i < reasons->count; i++)
		add_trailer(fact, "Reason", reasons->items[i]);
}

static struct fact *fact_rollout(
	const struct fact_context *context, const char *result, const char *what)
{
	const struct rollout_record *record = &context->rollout->record;
	struct fact *fact = mem_zero(1, sizeof(*fact));
	fact->subject = mem_printf("rollout(%s): %s", record->id, what);
	add_trailer(fact, "Rollout", record->id);
	add_trailer(fact, "Result", result);
	add_trailer(fact, "Source-Commit", record->commit);
	add_trailer(fact, "Plan", record->plan);
	add_trailer(fact, "Author", context->author);
	add_rollout_file(fact, record);
	return fact;
}

static struct fact *fact_rollout_started(const struct fact_context *context)
{
	struct fact *fact = fact_rollout(context, "started", "started");
	prune_rollouts(fact, context->status);
	return fact;
}

static struct fact *fact_rollout_ended(const struct fact_context *context)
{
	const struct rollout_record *record = &context->rollout->record;
	const char *word = rollout_state_name(record->state);
	struct fact *fact = fact_rollout(context, word, word);
	add_duration(fact, record->started_s, record->finished_s);
	add_reasons(fact, &record->reasons);
	if (record->state == ROLLOUT_SUCCEEDED) {
		fact->tag = mem_printf("deploy/%s", record->id);
		memcpy(fact->tag_commit, record->commit, sizeof(fact->tag_commit));
		fact->tag_message = mem_printf("rollout %s succeeded", record->id);
	}
	return fact;
}

static struct fact *fact_stage(const struct fact_context *context, size_t index)
{
	const struct rollout_record *record = &context->rollout->record;
	const struct stage_record *stage = &record->stages[index];
	struct fact *fact = mem_zero(1, sizeof(*fact));
	fact->subject = mem_printf("rollout(%s): stage %s %s", record->id, stage->name,
		stage_state_name(stage->state));
	add_trailer(fact, "Rollout", record->id);
	add_trailer(fact, "Stage", stage->name);
	add_trailer(fact, "Source-Commit", record->commit);
	add_trailer(fact, "Plan", record->plan);
	add_rollout_file(fact, record);
	return fact;
}

/* ---- one client ------------------------------------------------------------------------------ */

static const struct plan_entry *entry_of(const struct plan *plan, const char *client)
{
	for (size_t i = 0; plan && i < plan->entry_count; i++)
		if (!strcmp(plan->entries[i].client, client))
			return &plan->entries[i];
	return NULL;
}

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
		.entry = entry_of(context->plan, client->record->client),
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
	add_trailer(fact, "Rollout", rollout->id);
	add_trailer(fact, "Client", about->member->client);
	add_trailer(fact, "Stage", about->stage->name);
	add_trailer(fact, "Action", plan_action_name(about->member->action));
	add_trailer(fact, "Result", result);
	add_trailer(fact, "Source-Commit", rollout->commit);
	fact->client = mem_zero(1, sizeof(*fact->client));
	if (about->before)
		client_record_copy(fact->client, about->before);
	else
		fact->client->client = mem_dup_str(about->member->client);
	fact->client->updated_s = about->context->wall_s;
	memcpy(fact->client->current.rollout, rollout->id, sizeof(rollout->id));
	return fact;
}

static void replace_text(char **field, const char *text)
{
	char *copy = mem_dup_str(text);
	free(*field);
	*field = copy;
}

static void take_place(struct client_record *record, const struct client_fact *about)
{
	replace_text(&record->stage, about->stage->name);
	if (!about->entry)
		return;
	replace_text(&record->host, about->entry->host);
	replace_text(&record->root, about->entry->root);
}

static struct release_ref wanted_ref(const struct client_fact *about)
{
	const struct rollout_record *rollout = &about->context->rollout->record;
	struct release_ref ref = {0};
	memcpy(ref.release, about->member->to, sizeof(ref.release));
	memcpy(ref.release_key, about->member->to_key, sizeof(ref.release_key));
	memcpy(ref.commit, rollout->commit, sizeof(ref.commit));
	memcpy(ref.rollout, rollout->id, sizeof(ref.rollout));
	return ref;
}

static struct fact *fact_client_started(const struct fact_context *context, size_t index)
{
	struct client_fact about = client_fact_of(context, index);
	const char *client = about.member->client;
	struct fact *fact = fact_client(&about,
		mem_printf("%s(%s): %s: started", verb_of(about.member->action), client,
			summary_of(&about)),
		"started");
	struct client_record *record = fact->client;
	take_place(record, &about);
	record->state = about.member->action == PLAN_ONBOARD ? CLIENT_ONBOARDING : CLIENT_DEPLOYING;
	add_trailer(fact, "Release", about.member->to);
	add_trailer(fact, "Plan", context->rollout->record.plan);
	if (record->known_good.release[0]) {
		fact->tag = mem_printf("rollback/%s/%s", client, context->rollout->record.id);
		memcpy(fact->tag_commit, record->known_good.commit, sizeof(fact->tag_commit));
		fact->tag_message = mem_printf("known good release of %s before rollout %s\n\n%s",
			client, context->rollout->record.id, record->known_good.release);
		replace_text(&record->rollback_tag, fact->tag);
		add_trailer(fact, "Rollback-Tag", fact->tag);
	}
	add_trailer(fact, "Author", context->author);
	add_reasons(fact, &about.member->reasons);
	add_client_file(fact);
	return fact;
}

static struct fact *fact_client_back(const struct fact_context *context, size_t index)
{
	struct client_fact about = client_fact_of(context, index);
	assert(about.before); /* its intent was recorded */
	auto_free char *summary = back_summary(about.before, about.entry, about.member);
	struct fact *fact = fact_client(&about,
		mem_printf("rollback(%s): %s: going back", about.member->client, summary), NULL);
	fact->client->state = CLIENT_DEPLOYING;
	add_trailer(fact, "Release", fact->client->known_good.release);
	add_trailer(fact, "Rollback-Tag", fact->client->rollback_tag);
	add_trailer(fact, "Reason", about.client->failure);
	add_client_file(fact);
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

/* The host runs the wanted release now. */
static void take_release(struct client_record *record, const struct client_fact *about)
{
	struct release_ref wanted = wanted_ref(about);
	if (record->current.release[0] && strcmp(record->current.release, wanted.release) != 0)
		record->previous = record->current;
	record->current = wanted;
	take_apps(record, about->entry);
}

static void end_healthy(struct client_record *record, const struct client_fact *about)
{
	take_release(record, about);
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
	record->state = CLIENT_ROLLED_BACK;
}

static void end_failed(struct client_record *record, const struct client_fact *about)
{
	if (about->context->rollout->roll_back && about->client->has_good)
		end_rolled_back(record); /* as far as we know: the way back was tried and failed */
	else
		take_release(record, about);
	record->state = CLIENT_FAILED;
}

static void end_untouched(struct client_record *record)
{
	bool good = record->known_good.release[0] &&
		    !strcmp(record->known_good.release, record->current.release);
	record->state = good ? CLIENT_HEALTHY : CLIENT_WAITING;
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
		if (about->client->activated)
			take_release(record, about);
		end_untouched(record);
		break;
	}
}

static const char *result_of(enum member_state state)
{
	return state == MEMBER_HEALTHY ? "succeeded" : member_state_name(state);
}

static struct fact *fact_client_ended(const struct fact_context *context, size_t index)
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
	take_place(fact->client, &about);
	end_record(fact->client, &about);
	add_trailer(fact, "Release", fact->client->current.release);
	add_trailer(fact, "Plan", context->rollout->record.plan);
	add_trailer(fact, "Rollback-Tag", fact->client->rollback_tag);
	add_duration(fact, about.member->started_s, about.member->finished_s);
	add_trailer(fact, "Author", context->author);
	if (about.client->failed || about.client->unreachable)
		add_trailer(fact, "Reason", about.client->failure);
	else
		add_reasons(fact, &about.member->reasons);
	add_client_file(fact);
	return fact;
}

static struct fact *fact_client_held(const struct fact_context *context, size_t index)
{
	struct client_fact about = client_fact_of(context, index);
	const struct member_record *member = about.member;
	struct fact *fact = fact_client(&about,
		mem_printf("hold(%s): release %.8s is not tried again by itself", member->client,
			member->to + strlen("sha256:")),
		"held");
	struct client_hold *hold = &fact->client->hold;
	hold->held = true;
	hold->by_hand = false;
	memcpy(hold->commit, context->rollout->record.commit, sizeof(hold->commit));
	memcpy(hold->release, member->to, sizeof(hold->release));
	memcpy(hold->release_key, member->to_key, sizeof(hold->release_key));
	memcpy(hold->checks, member->checks, sizeof(hold->checks));
	replace_text(&hold->reason, about.client->failure);
	add_trailer(fact, "Release", member->to);
	add_trailer(fact, "Reason", about.client->failure);
	add_client_file(fact);
	return fact;
}

struct fact *fact_from_action(
	const struct fact_context *context, const struct rollout_action *action)
{
	switch (action->fact) {
	case FACT_ROLLOUT_STARTED:
		return fact_rollout_started(context);
	case FACT_CLIENT_STARTED:
		return fact_client_started(context, action->client);
	case FACT_CLIENT_BACK:
		return fact_client_back(context, action->client);
	case FACT_STAGE:
		return fact_stage(context, action->stage);
	case FACT_CLIENT_ENDED:
		return fact_client_ended(context, action->client);
	case FACT_CLIENT_HELD:
		return fact_client_held(context, action->client);
	case FACT_ROLLOUT_ENDED:
		return fact_rollout_ended(context);
	}
	abort(); /* every fact is named above; the compiler says if one is not */
}

/* ---- facts without a running rollout -----------------------------------------------------------
 */

struct fact *fact_refused(const struct status *status, const char *commit, const char *plan_digest,
	const struct strlist *reasons, int64_t wall_s)
{
	struct rollout_record record = {
		.state = ROLLOUT_REFUSED, .started_s = wall_s, .finished_s = wall_s};
	struct fact *fact = mem_zero(1, sizeof(*fact));
	rollout_id_make(status, wall_s, commit, record.id);
	(void)snprintf(record.commit, sizeof(record.commit), "%s", commit);
	(void)snprintf(record.plan, sizeof(record.plan), "%s", plan_digest);
	strlist_copy(&record.reasons, reasons);
	fact->subject = mem_printf("rollout(%s): refused", record.id);
	add_trailer(fact, "Rollout", record.id);
	add_trailer(fact, "Result", "refused");
	add_trailer(fact, "Source-Commit", commit);
	add_trailer(fact, "Plan", plan_digest);
	add_reasons(fact, reasons);
	add_rollout_file(fact, &record);
	prune_rollouts(fact, status);
	rollout_record_clear(&record);
	return fact;
}

struct fact *fact_hold_ended(const struct client_record *record, const char *reason, int64_t wall_s)
{
	struct fact *fact = mem_zero(1, sizeof(*fact));
	fact->subject = mem_printf("hold(%s): ended", record->client);
	add_trailer(fact, "Client", record->client);
	add_trailer(fact, "Stage", record->stage);
	add_trailer(fact, "Reason", reason);
	fact->client = mem_zero(1, sizeof(*fact->client));
	client_record_copy(fact->client, record);
	free(fact->client->hold.reason);
	fact->client->hold = (struct client_hold){0};
	fact->client->updated_s = wall_s;
	if (record->known_good.release[0] &&
		!strcmp(record->known_good.release, record->current.release))
		fact->client->state = CLIENT_HEALTHY;
	add_client_file(fact);
	return fact;
}

struct fact *fact_drift(const struct client_record *record)
{
	struct fact *fact = mem_zero(1, sizeof(*fact));
	fact->subject = mem_printf("drift(%s): the host runs release %.8s, taken from it",
		record->client, record->current.release + strlen("sha256:"));
	add_trailer(fact, "Client", record->client);
	add_trailer(fact, "Stage", record->stage);
	add_trailer(fact, "Source-Commit", record->current.commit);
	add_trailer(fact, "Release", record->current.release);
	fact->client = mem_zero(1, sizeof(*fact->client));
	client_record_copy(fact->client, record);
	add_client_file(fact);
	return fact;
}

struct fact *fact_leader(const char *instance, int64_t epoch, int64_t wall_s)
{
	auto_buf struct buf text = BUF_INIT(1024);
	struct emitter emitter;
	struct fact *fact = mem_zero(1, sizeof(*fact));
	fact->subject = mem_printf("leader(%s): epoch %lld", instance, (long long)epoch);
	emit_begin(&emitter, EMIT_YAML, &text);
	emit_str(&emitter, "instance", instance);
	emit_int(&emitter, "epoch", epoch);
	emit_time(&emitter, "since", wall_s);
	emit_end(&emitter);
	size_t len = text.len;
	add_file(fact, mem_dup_str("leader.yaml"), buf_steal(&text), len);
	return fact;
}

struct fact *fact_digest_keys(const char *key_id, const char *text, size_t len)
{
	struct fact *fact = mem_zero(1, sizeof(*fact));
	fact->subject = mem_printf("key(%s): digest key made", key_id);
	add_file(fact, mem_dup_str("digest-key.sops.yaml"), mem_dup(text, len), len);
	return fact;
}
