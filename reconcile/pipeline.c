#include "reconcile/pipeline.h"
#include <stdint.h>
#include <string.h>

#define PIPELINE_PLAIN STEP_DEPLOY " " STEP_VERIFY

/* The next name of a pipeline, and what follows it. @return its length, 0 at the end */
static size_t next_name(const char **at)
{
	*at += strspn(*at, " ");
	return strcspn(*at, " ");
}

bool pipeline_entry(const char *pipeline, size_t index, char name_out[STEP_NAME])
{
	const char *at = pipeline[0] ? pipeline : PIPELINE_PLAIN;
	size_t len = next_name(&at);
	for (; len && index; index--) {
		at += len;
		len = next_name(&at);
	}
	if (!len || len >= STEP_NAME)
		return false;
	memcpy(name_out, at, len);
	name_out[len] = '\0';
	return true;
}

size_t pipeline_find(const char *pipeline, const char *name)
{
	char entry[STEP_NAME];
	for (size_t i = 0; pipeline_entry(pipeline, i, entry); i++)
		if (!strcmp(entry, name))
			return i;
	return SIZE_MAX;
}

bool pipeline_backs_up_first(const char *pipeline)
{
	return pipeline_find(pipeline, STEP_BACKUP) < pipeline_find(pipeline, STEP_DEPLOY);
}
