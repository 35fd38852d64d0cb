/* reconcile/checks/checks_judge.h - what was seen against what was expected, as a sentence
 *
 * Each function leaves @p why empty if the check is good, else a phrase for a person that says
 * what was seen and what was expected. Text from outside is cleaned and cut.
 */
#pragma once
#include "base/exec.h"
#include "base/http_client.h"
#include "reconcile/checks/checks.h"

/** Standard of check_spec.timeout_ms. */
int64_t judge_timeout_ms(const struct check_spec *spec);

/** An answer for PROBE_HTTP, PROBE_TCP, PROBE_TLS. @param now_s  Unix seconds */
void judge_answer(const struct check_spec *spec, const struct http_answer *answer, int64_t now_s,
	struct buf *why);

/** The end of a PROBE_COMMAND. */
void judge_command(
	const struct check_spec *spec, const struct exec_result *result, struct buf *why);
