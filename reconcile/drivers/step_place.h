/* reconcile/drivers/step_place.h - where a step works that runs on this machine
 *
 *   <steps_dir>/<name>/lock        held by the step's program itself, also after our death
 *   <steps_dir>/<name>/checkout/   the files of exactly one commit, until the place is left
 *   /dev/shm/aviary-.../           for what must reach no disk, 0700, until the place is left
 *
 * One step at a time in a place; the next one waits for the program of a service that died, as on
 * a host of the driver `local`, and finds nothing that it left.
 */
#pragma once
#include "reconcile/drivers/local_command.h"

struct step_place;

struct step_place_options {
	const char *steps_dir; /* <state_dir>/steps */
	const char *name;      /* of the client */
	int64_t wait_ms; /* for who works there: then the program of a dead service is ended */
	int cancel_fd;   /* readable = give up; -1 none */
};

/** Wait for the place and clear it. ERR_TIMEOUT (a living service works there), ERR_STOPPED,
 *  ERR_SYSTEM. */
MUST_USE bool step_place_open(
	const struct step_place_options *options, struct step_place **place_out, struct error *err);
/** Remove what is in it, and let the next one in. */
void step_place_free(struct step_place *place);
DEFINE_CLEANUP(struct step_place, step_place_free)
#define auto_step_place CLEANUP(step_place_free_at)

/** Make the folder for a checkout, empty, for tree_check_out(). ERR_SYSTEM. @param folder_out  as
 *  step_place_checkout() */
MUST_USE bool step_place_make_checkout(
	struct step_place *place, const char **folder_out, struct error *err);
/** Absolute path of the checkout; there only after step_place_make_checkout(). */
const char *step_place_checkout(const struct step_place *place);
/** Absolute path of a private folder in memory, empty at first; made when first asked for.
 *  ERR_SYSTEM: this machine has no memory-backed folder. */
MUST_USE bool step_place_memory(
	struct step_place *place, const char **folder_out, struct error *err);
/** Run a program to its end, in the checkout unless its folder says otherwise.
 *  @return as local_command_run() */
MUST_USE bool step_place_run(struct step_place *place, const struct local_command *command,
	struct driver_run *run, struct error *err);
