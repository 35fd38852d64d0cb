#include "reconcile/drift.h"

#define SHORT "%.15s.." /* "sha256:" and 8 digits */

/* Takes `what` over. */
static void found(struct drift *drift, const char *runs, char *what)
{
	drift->found = true;
	(void)snprintf(drift->runs, sizeof(drift->runs), "%s", runs); /* same size */
	free(drift->what);
	drift->what = what;
}

void drift_compare(const char *recorded, const struct driver_state *state, struct drift *drift_out)
{
	const char *current = state->current;
	*drift_out = (struct drift){0};
	if (state->locked)
		return;
	if (!state->found)
		found(drift_out, current, mem_printf("no state instead of " SHORT, recorded));
	else if (!driver_same_release(state->release, recorded))
		found(drift_out, state->release,
			mem_printf("runs " SHORT " instead of " SHORT, state->release, recorded));
	else if (!current[0])
		found(drift_out, "", mem_printf("nothing is current instead of " SHORT, recorded));
	else if (!driver_same_release(current, recorded))
		found(drift_out, current,
			mem_printf("current points to " SHORT " instead of " SHORT, current,
				recorded));
	else if (state->activating)
		found(drift_out, state->release,
			mem_printf("the activation of " SHORT " did not end", recorded));
}

static bool look_into_folder(
	const char *recorded, const struct target *target, struct drift *drift, struct error *err)
{
	const struct release *release = target->release;
	const char *path = NULL;
	bool has = true;
	if (!target->driver->has_release(&target->host, recorded, &has, err))
		return false;
	if (!has) {
		found(drift, "", mem_printf("the folder of " SHORT " is missing", recorded));
		return true;
	}
	/* One that renders otherwise than recorded, by a key that was lost, tells nothing. */
	if (!target->driver->compare || !release || strcmp(release->digest, recorded) != 0)
		return true;
	const struct driver_release delivered = {
		.digest = recorded, .files = target_files(target), .count = release->file_count};
	if (!target->driver->compare(&target->host, &delivered, &path, err))
		return false;
	if (path)
		found(drift, recorded,
			mem_printf("file %s of " SHORT " was changed", path, recorded));
	return true;
}

bool drift_ask(const char *recorded, const struct target *target, struct driver_state *state_out,
	struct drift *drift_out, struct error *err)
{
	*drift_out = (struct drift){0};
	*state_out = (struct driver_state){0};
	if (!target->driver->ask(&target->host, state_out, err)) {
		if (err->code != ERR_INVALID)
			return false;
		found(drift_out, "", mem_printf("its state does not read: %.200s", err->message));
		return true;
	}
	drift_compare(recorded, state_out, drift_out);
	if (drift_out->found || state_out->locked)
		return true;
	return look_into_folder(recorded, target, drift_out, err);
}

bool drift_is_same(const struct drift *a, const struct drift *b)
{
	return a->found == b->found &&
	       (!a->found || !strcmp(a->what ? a->what : "", b->what ? b->what : ""));
}
