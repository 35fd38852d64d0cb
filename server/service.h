/* server/service.h - the running service: threads, signals, start, stop
 *
 *   lock state_dir -> keys -> HTTP answers -> loop runs -> READY
 *   SIGTERM, SIGINT: POST gets 503, the loop finishes or records what runs (LOOP_STOP_MS), exit 0
 *   SIGHUP: secrets of webhooks and tokens are read again; a changed age key restarts the loop,
 *           which goes on from the status branch
 */
#pragma once
#include "reconcile/loop.h"
#include "server/config.h"

/** Of SOPS_AGE_KEY: the kernel takes no longer string (MAX_ARG_STRLEN). */
#define SERVICE_AGE_KEYS_MAX ((size_t)128 << 10)

/** Lock the state folder for this process. ERR_REFUSED: another aviary holds it. */
MUST_USE bool service_lock(const struct config *config, int *lock_fd_out, struct error *err);

/** No core files, no ptrace by others, SIGPIPE ignored; once, before threads. */
MUST_USE bool service_harden(struct error *err);

/** The loop's options out of the configuration; everything is borrowed from it. */
struct loop_options service_loop_options(
	const struct config *config, const struct keyring *keyring);

/**
 * Run until SIGTERM or SIGINT.
 * @return false: it could not start, or the configuration's files became unusable
 */
MUST_USE bool service_run(const struct config *config, struct error *err);
