/* server/intake.h - the routes /webhook/<forge>: judge, remember, answer, mark dirty
 *
 * Answers in microseconds and does nothing else: what a delivery leads to is the loop's business.
 * The last 1000 delivery ids of each forge are remembered to tell redeliveries in log and metrics;
 * a redelivery marks dirty like any other (the administrator who presses the button expects it).
 */
#pragma once
#include "server/http.h"
#include "server/webhook.h"

/** Called for each 202, from any HTTP thread; must not block. */
typedef void (*intake_dirty)(void *data, enum webhook_forge forge, const char *delivery);

/** One configured forge. */
struct intake_forge {
	enum webhook_forge forge;
	const struct webhook_secret *secrets;
	size_t secret_count;
	const char *secret_file; /* named in the answer to a wrong signature, without its folder */
};

struct intake_options {
	const char *repository_url;
	const char *branch;
	const char *status_branch;
	const struct intake_forge *forges;
	size_t forge_count;
	intake_dirty dirty;
	void *data;
};

struct intake_counts {
	uint64_t accepted;    /* 202 */
	uint64_t ignored;     /* 204 */
	uint64_t malformed;   /* 400, 415 */
	uint64_t unauthentic; /* 401 */
	uint64_t redelivered; /* of the accepted and ignored ones */
};

struct intake;

/**
 * Everything in @p options is copied; secrets into memory that is wiped.
 *
 * For tests AVIARY_TEST_NOW=<unix seconds> fixes the clock that GitLab's signatures are held
 * against; ERR_REFUSED unless AVIARY_TEST=1 is set too.
 *
 * @return false with ERR_INVALID (empty secret, forge named twice) or ERR_REFUSED
 */
MUST_USE bool intake_new(
	const struct intake_options *options, struct intake **intake_out, struct error *err);
void intake_free(struct intake *intake);
DEFINE_CLEANUP(struct intake, intake_free)
#define auto_intake CLEANUP(intake_free_at)

/** New secrets for the forges that are configured (SIGHUP); all or nothing. */
MUST_USE bool intake_reload(
	struct intake *intake, const struct intake_forge *forges, size_t count, struct error *err);

/** Routes for http_server_new(): one per configured forge, borrowed from the intake. */
struct http_routes intake_routes(struct intake *intake);

/** Counters since the start; all zero for a forge that is not configured. */
void intake_count(
	const struct intake *intake, enum webhook_forge forge, struct intake_counts *counts_out);
