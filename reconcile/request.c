#include "reconcile/request.h"
#include <cjson/cJSON.h>

#define BODY_MAX ((size_t)16 << 10)

const char *request_state_name(enum request_state state)
{
	static const char *const names[] = {"queued", "done", "refused"};
	return names[state];
}

/* It becomes one line of a commit message. */
static bool read_reason(const char *text, char *reason, struct error *err)
{
	auto_buf struct buf clean = BUF_INIT(REQUEST_REASON_MAX);
	text += strspn(text, " \t\r\n");
	size_t len = strlen(text);
	while (len && strchr(" \t\r\n", text[len - 1]))
		len--;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return error_set(err, ERR_INVALID,
				"'reason' is one line, without control characters");
	buf_add_clean(&clean, text, len);
	if (buf_overflowed(&clean))
		return error_set(
			err, ERR_INVALID, "'reason' is longer than %d bytes", REQUEST_REASON_MAX);
	memcpy(reason, clean.text, clean.len + 1);
	return true;
}

static bool read_item(const cJSON *item, char *reason, bool *now, struct error *err)
{
	static const char *const names[] = {"reason", "now"};
	if (!strcmp(item->string, "now")) {
		*now = cJSON_IsTrue(item);
		return cJSON_IsBool(item) ||
		       error_set(err, ERR_INVALID, "'now' is neither true nor false");
	}
	if (!strcmp(item->string, "reason"))
		return cJSON_IsString(item) ? read_reason(item->valuestring, reason, err)
					    : error_set(err, ERR_INVALID, "'reason' is no text");
	const char *near = nearest_name(item->string, names, ARRAY_LEN(names));
	return error_set(err, ERR_INVALID, "the body's key '%.40s' is unknown%s%s%s", item->string,
		near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static bool read_object(const cJSON *object, char *reason, bool *now, struct error *err)
{
	const cJSON *item;
	if (!cJSON_IsObject(object))
		return error_set(err, ERR_INVALID, "the body is no JSON object");
	cJSON_ArrayForEach(item, object)
	{
		if (!read_item(item, reason, now, err))
			return false;
	}
	return true;
}

bool request_read_body(const char *body, size_t len, char *reason, bool *now, struct error *err)
{
	reason[0] = '\0';
	*now = false;
	if (!len)
		return true;
	if (len > BODY_MAX)
		return error_set(
			err, ERR_INVALID, "the body is larger than %zu KiB", BODY_MAX >> 10);
	if (memchr(body, '\0', len))
		return error_set(err, ERR_INVALID, "the body is no JSON object");
	const char *end = NULL;
	cJSON *object = cJSON_ParseWithLengthOpts(body, len + 1, &end, true);
	bool good = read_object(object, reason, now, err);
	cJSON_Delete(object);
	return good;
}
