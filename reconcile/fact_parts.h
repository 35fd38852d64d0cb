/* reconcile/fact_parts.h - what fact.c (rollouts, the rest) and fact_client.c (clients) share */
#pragma once
#include "reconcile/fact.h"

/** A trailer; one without a value is left out. */
void fact_add_trailer(struct fact *fact, const char *key, const char *value);
/** One Reason trailer each. */
void fact_add_reasons(struct fact *fact, const struct strlist *reasons);
/** The Duration trailer, in whole seconds; nothing before something started. */
void fact_add_duration(struct fact *fact, int64_t from_s, int64_t to_s);
/** A file of the branch; takes path and text over. NULL removes the file. */
void fact_add_file(struct fact *fact, char *path, char *text, size_t len);
/** clients/<client>.yaml as fact->client is now. */
void fact_add_client_file(struct fact *fact);

/** Subject of the fact that a release of a client is held; the caller frees. */
char *fact_hold_subject(const char *client, const char *release);

/** The facts of one client of the rollout: intent, way back, last word, hold. */
struct fact *fact_client_started(const struct fact_context *context, size_t index);
struct fact *fact_client_retry(const struct fact_context *context, size_t index);
struct fact *fact_client_waiting(const struct fact_context *context, size_t index);
struct fact *fact_client_backup(const struct fact_context *context, size_t index);
struct fact *fact_client_asks(const struct fact_context *context, size_t index);
struct fact *fact_client_back(const struct fact_context *context, size_t index);
struct fact *fact_client_ended(const struct fact_context *context, size_t index);
struct fact *fact_client_held(const struct fact_context *context, size_t index);
