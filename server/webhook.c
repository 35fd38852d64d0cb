#include "server/webhook.h"
#include "server/webhook_forge.h"
#include <strings.h>

static const struct webhook_kind *const kinds[WEBHOOK_FORGES] = {
	[WEBHOOK_GITHUB] = &webhook_github,
	[WEBHOOK_GITLAB] = &webhook_gitlab,
	[WEBHOOK_GITEA] = &webhook_gitea,
	[WEBHOOK_FORGEJO] = &webhook_forgejo,
	[WEBHOOK_BITBUCKET] = &webhook_bitbucket,
};

const char *webhook_forge_name(enum webhook_forge forge)
{
	return kinds[forge]->name;
}

bool webhook_forge_parse(const char *name, enum webhook_forge *forge_out)
{
	for (int i = 0; i < WEBHOOK_FORGES; i++) {
		if (strcmp(kinds[i]->name, name) != 0)
			continue;
		*forge_out = (enum webhook_forge)i;
		return true;
	}
	return false;
}

bool webhook_secret_check(
	enum webhook_forge forge, const struct webhook_secret *secret, struct error *err)
{
	size_t prefix = strlen(WEBHOOK_SIGNING_PREFIX), len = 0;
	unsigned char key[WEBHOOK_SIGNING_KEY_MAX];
	if (!secret->len)
		return error_set(err, ERR_INVALID, "secret of '%s' is empty", kinds[forge]->name);
	if (forge != WEBHOOK_GITLAB || secret->len < prefix ||
		memcmp(secret->bytes, WEBHOOK_SIGNING_PREFIX, prefix) != 0)
		return true;
	bool good = webhook_signing_key(secret, key, &len);
	explicit_bzero(key, sizeof(key));
	if (good)
		return true;
	error_set(err, ERR_INVALID,
		"secret of 'gitlab' starts with '%s', but no base64 of a key follows",
		WEBHOOK_SIGNING_PREFIX);
	return error_hint(err, "copy the signing token from the webhook's page again");
}

struct webhook_field webhook_header(const struct webhook_input *input, const char *name)
{
	struct webhook_field field = {.value = ""};
	for (size_t i = 0; i < input->header_count; i++) {
		if (strcasecmp(input->headers[i].name, name) != 0 || field.count++)
			continue;
		field.value = input->headers[i].value + strspn(input->headers[i].value, " \t");
		field.len = strlen(field.value);
		while (field.len && strchr(" \t", field.value[field.len - 1]))
			field.len--;
	}
	return field;
}

static bool field_is(const char *value, size_t len, const char *text)
{
	return len == strlen(text) && !memcmp(value, text, len);
}

bool webhook_event_is(const struct webhook_delivery *delivery, const char *name)
{
	return field_is(delivery->event, delivery->event_len, name);
}

void webhook_refuse(struct webhook_verdict *verdict, int status, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	/* Own words only; a longer sentence is cut. */
	(void)vsnprintf(verdict->error, sizeof(verdict->error), format, args);
	va_end(args);
	verdict->status = status;
	verdict->ignored = NULL;
	verdict->dirty = false;
}

void webhook_ignore(struct webhook_verdict *verdict, const char *reason)
{
	verdict->status = 204;
	verdict->ignored = reason;
}

static void read_delivery_id(const struct webhook_input *input, const struct webhook_kind *kind,
	struct webhook_verdict *verdict)
{
	struct webhook_field field = {.value = ""};
	for (size_t i = 0; i < ARRAY_LEN(kind->delivery_headers) && !field.len; i++)
		if (kind->delivery_headers[i])
			field = webhook_header(input, kind->delivery_headers[i]);
	size_t len = 0;
	for (; len < field.len && len < WEBHOOK_DELIVERY_SIZE - 1; len++) {
		char c = field.value[len];
		verdict->delivery[len] = c > 0x20 && c < 0x7F ? c : '?';
	}
	verdict->delivery[len] = '\0';
}

/* Media type without parameters and blanks, in any case. */
static bool media_type_is(const struct webhook_field *field, const char *type)
{
	size_t len = strcspn(field->value, ";");
	len = len < field->len ? len : field->len;
	while (len && strchr(" \t", field->value[len - 1]))
		len--;
	return field->count == 1 && len == strlen(type) && !strncasecmp(field->value, type, len);
}

enum media { MEDIA_OTHER, MEDIA_JSON, MEDIA_FORM };

static enum media media_type(const struct webhook_input *input, const struct webhook_kind *kind)
{
	struct webhook_field field = webhook_header(input, "Content-Type");
	if (media_type_is(&field, "application/json"))
		return MEDIA_JSON;
	if (kind->form != WEBHOOK_NO_FORM &&
		media_type_is(&field, "application/x-www-form-urlencoded"))
		return MEDIA_FORM;
	return MEDIA_OTHER;
}

static bool authentic(const struct webhook_input *input, const struct webhook_kind *kind,
	const struct webhook_part *payload, const char **cause_out)
{
	if (kind->authentic)
		return kind->authentic(input, cause_out);
	struct webhook_part body = {input->body, input->body_len};
	if (!payload->bytes)
		return webhook_mac_holds(input, kind, &body, cause_out);
	/* Their code signs the JSON inside the form, newer documentation says the raw body. */
	bool inside = webhook_mac_holds(input, kind, payload, cause_out);
	bool raw = webhook_mac_holds(input, kind, &body, cause_out);
	return inside || raw;
}

static void judge_body(const struct webhook_input *input, const struct webhook_kind *kind,
	const struct webhook_part *text, struct webhook_verdict *verdict)
{
	struct webhook_field event = webhook_header(input, kind->event_header);
	struct webhook_delivery delivery = {
		.tracked = input->tracked, .event = event.value, .event_len = event.len};
	const char *problem = NULL;
	if (event.count != 1)
		return webhook_refuse(verdict, 400, "header '%s' is %s", kind->event_header,
			event.count ? "there twice" : "missing");
	if (!webhook_json_check(text->bytes, text->len, &delivery.body, &problem))
		return webhook_refuse(verdict, 400, "the JSON %s", problem);
	if (!event.len)
		return webhook_ignore(verdict, "event");
	kind->read(&delivery, verdict);
}

static void judge_json(const struct webhook_input *input, const struct webhook_kind *kind,
	struct webhook_verdict *verdict)
{
	struct webhook_part none = {0}, body = {input->body, input->body_len};
	if (authentic(input, kind, &none, &verdict->cause))
		judge_body(input, kind, &body, verdict);
	else
		verdict->status = 401;
}

static void judge_form(const struct webhook_input *input, const struct webhook_kind *kind,
	struct webhook_verdict *verdict)
{
	auto_free char *decoded = NULL;
	const char *problem = NULL;
	struct webhook_part text = {0};
	bool inside = kind->form == WEBHOOK_PAYLOAD_SIGNED;
	if (inside) {
		/* The only text that is read before it is known to be authentic. */
		decoded = webhook_form_payload(input->body, input->body_len, &text.len, &problem);
		text.bytes = decoded;
	}
	bool holds = authentic(input, kind, &text, &verdict->cause);
	if (!holds || problem) {
		verdict->cause = holds ? problem : verdict->cause;
		verdict->status = 401;
		return;
	}
	if (!inside)
		decoded = webhook_form_payload(input->body, input->body_len, &text.len, &problem);
	text.bytes = decoded;
	if (problem)
		return webhook_refuse(verdict, 400, "%s", problem);
	judge_body(input, kind, &text, verdict);
}

void webhook_judge(const struct webhook_input *input, struct webhook_verdict *verdict)
{
	const struct webhook_kind *kind = kinds[input->forge];
	*verdict = (struct webhook_verdict){0};
	read_delivery_id(input, kind, verdict);
	switch (media_type(input, kind)) {
	case MEDIA_OTHER:
		return webhook_refuse(verdict, 415, "the content type must be application/json%s",
			kind->form ? " or application/x-www-form-urlencoded" : "");
	case MEDIA_JSON:
		judge_json(input, kind, verdict);
		break;
	case MEDIA_FORM:
		judge_form(input, kind, verdict);
		break;
	}
	if (verdict->status == 401) /* the same text for all: it must not tell what was wrong */
		webhook_refuse(verdict, 401, "signature or token missing or wrong");
	else
		verdict->cause = NULL;
}
