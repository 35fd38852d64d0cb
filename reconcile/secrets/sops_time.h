/* reconcile/secrets/sops_time.h - timestamps as SOPS hashes them: RFC 3339, the offset kept */
#pragma once
#include "base/mem.h"

#define SOPS_TIME_SIZE 64

enum sops_time_form {
	SOPS_TIME_RFC3339, /* 2026-05-04T03:02:01.5+02:00 */
	SOPS_TIME_YAML     /* also 2026-5-4, and a blank instead of T if there is no zone */
};

/** Read @p text and print it into @p out of SOPS_TIME_SIZE bytes: `Z` for offset zero; with
 *  @p fraction up to nine digits of it without trailing zeros. False if it is no such time. */
MUST_USE bool sops_time_format(
	const char *text, enum sops_time_form form, bool fraction, char *out);
