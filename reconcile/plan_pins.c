/* Pins in plans: who is kept on what it runs, what is recorded of it, and when it is over. */
#include "reconcile/plan_parts.h"

void plan_pins_clear(struct plan_pins *pins)
{
	for (size_t i = 0; i < pins->count; i++) {
		free(pins->items[i].client);
		free(pins->items[i].reason);
	}
	free(pins->items);
	*pins = (struct plan_pins){0};
}

static bool is_over(const struct plan_work *work, const struct client_pin *pin)
{
	return work->request->wall_s >= pin->end_s;
}

bool plan_is_pinned(
	const struct plan_work *work, const struct client *client, struct reason_list *reasons)
{
	const struct client_pin *pin = &client->pin;
	if (!pin->end_s || is_over(work, pin))
		return false;
	reason_add(reasons, pin->place->file, pin->place->line, "pinned until %.10s: %s",
		pin->until, pin->reason);
	return true;
}

static void add(struct plan_work *work, const struct client *client, const char *until,
	const char *reason, bool over)
{
	struct plan_pins *pins = &work->plan->pins;
	mem_grow(pins->items, pins->count, pins->capacity);
	struct plan_pin *pin = &pins->items[pins->count++];
	*pin = (struct plan_pin){
		.client = mem_dup_str(client->name), .reason = mem_dup_str(reason), .over = over};
	(void)snprintf(pin->until, sizeof(pin->until), "%.10s", until); /* a day fits */
}

/* Somebody will wonder why it does nothing. */
static void warn_over(struct plan_work *work, const struct client *client)
{
	problems_warn(&work->plan->warnings, client->pin.place->file, client->pin.place->line,
		"take it out", "the pin of '%s' is over since the end of %.10s", client->name,
		client->pin.until);
}

void plan_note_pin(
	struct plan_work *work, const struct client *client, const struct client_record *record)
{
	const struct client_pin *pin = &client->pin;
	const struct pin *known = record ? &record->pin : NULL;
	struct plan *plan = work->plan;
	if (pin->end_s && is_over(work, pin))
		warn_over(work, client);
	else if (pin->end_s && (!plan->pins_end_s || pin->end_s < plan->pins_end_s))
		plan->pins_end_s = pin->end_s;
	/* A client that runs nothing is onboarded; what it runs then is what the pin keeps. */
	if (!record || !record->current.release[0])
		return;
	bool same = known->pinned && pin->end_s && !strncmp(known->until, pin->until, 10);
	if (pin->end_s && !is_over(work, pin)) {
		if (!same || strcmp(known->reason ? known->reason : "", pin->reason) != 0)
			add(work, client, pin->until, pin->reason, false);
	} else if (known->pinned) {
		add(work, client, known->until,
			same ? "its last day is over" : "not in the inventory any more", true);
	}
}

static void take_apps(struct plan_entry *entry, const struct client_record *record)
{
	for (size_t i = 0; i < entry->app_count; i++) {
		free(entry->apps[i].name);
		free(entry->apps[i].version);
	}
	free(entry->apps);
	entry->apps = mem_zero(record->app_count, sizeof(*entry->apps));
	entry->app_count = record->app_count;
	for (size_t i = 0; i < record->app_count; i++) {
		entry->apps[i].name = mem_dup_str(record->apps[i].name);
		entry->apps[i].version = mem_dup_str(record->apps[i].version);
	}
}

/* Which checks there were for it: those of the commit that it runs. */
static void take_checks(
	struct plan_work *work, const struct client_record *record, struct plan_entry *entry)
{
	auto_problems struct problems problems = {0};
	auto_release struct release *release = NULL;
	struct error err;
	struct plan_side *side = plan_side_get(work, record->current.commit, &err);
	const struct client *client =
		side && side->fleet ? fleet_client(side->fleet, record->client) : NULL;
	if (client && plan_side_release(side, client, NULL, &release, &problems))
		memcpy(entry->checks, release->checks, sizeof(entry->checks));
}

bool plan_verifies_pinned(
	struct plan_work *work, const struct client_record *record, struct plan_entry *entry)
{
	if (!strcmp(record->known_good.release, record->current.release) || record->unsure ||
		record->state == CLIENT_FAILED)
		return false;
	entry->action = PLAN_UPGRADE;
	entry->unproved = entry->pinned = true;
	entry->to = record->current;
	entry->to.rollout[0] = '\0';
	mem_replace_str(&entry->host, record->host ? record->host : "");
	mem_replace_str(&entry->root, record->root ? record->root : "");
	take_apps(entry, record);
	take_checks(work, record, entry);
	return true;
}
