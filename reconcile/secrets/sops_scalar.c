/* Types and scalars: from text to value to the text that is hashed (specs/sops-age.md 2.6) */
#include "base/buf.h"
#include "reconcile/secrets/sops_time.h"
#include "reconcile/secrets/sops_value.h"
#include <errno.h>
#include <math.h>

#define INT_TEXT_MAX 32

enum sops_type sops_type_of(enum node_kind kind)
{
	switch (kind) {
	case NODE_INT:
		return SOPS_INT;
	case NODE_FLOAT:
		return SOPS_FLOAT;
	case NODE_BOOL:
		return SOPS_BOOL;
	case NODE_TIME:
		return SOPS_TIME;
	default:
		return SOPS_STR;
	}
}

/* digits * 10^(exponent - count + 1), written out */
static void add_plain_decimal(struct buf *out, const char *digits, int exponent)
{
	int count = (int)strlen(digits);
	if (exponent < 0) {
		buf_add_str(out, "0.");
		for (int i = -1; i > exponent; i--)
			buf_add_char(out, '0');
		buf_add_str(out, digits);
		return;
	}
	for (int i = 0; i <= exponent || i < count; i++) {
		if (i == exponent + 1)
			buf_add_char(out, '.');
		buf_add_char(out, i < count ? digits[i] : '0');
	}
}

void sops_format_float(double number, struct buf *out)
{
	char text[40], digits[24];
	size_t count = 0;
	if (isnan(number) || isinf(number)) {
		buf_add_str(out, isnan(number) ? "NaN" : number < 0 ? "-Inf" : "+Inf");
		return;
	}
	for (int precision = 0; precision < 17; precision++) {
		(void)snprintf(text, sizeof(text), "%.*e", precision, number); /* fits */
		if (strtod(text, NULL) == number)
			break;
	}
	char *exponent = strchr(text, 'e');
	for (const char *at = text; at < exponent; at++) {
		if (*at >= '0' && *at <= '9')
			digits[count++] = *at;
	}
	while (count > 1 && digits[count - 1] == '0')
		count--;
	digits[count] = '\0';
	if (text[0] == '-')
		buf_add_char(out, '-');
	add_plain_decimal(out, digits, (int)strtol(exponent + 1, NULL, 10));
}

static bool time_text(const struct node *node, struct buf *out, struct error *err)
{
	char text[SOPS_TIME_SIZE];
	if (!sops_time_format(node->iso, SOPS_TIME_YAML, true, text))
		return node_error(err, node, "this is no time that SOPS can read");
	buf_add_str(out, text);
	return true;
}

bool sops_value_mac_text(const struct node *node, struct buf *out, struct error *err)
{
	switch (node->kind) {
	case NODE_BOOL:
		buf_add_str(out, node->boolean ? "True" : "False");
		return true;
	case NODE_INT:
		buf_addf(out, "%lld", (long long)node->integer);
		return true;
	case NODE_FLOAT:
		sops_format_float(node->number, out);
		return true;
	case NODE_TIME:
		return time_text(node, out, err);
	case NODE_STRING:
	case NODE_TAGGED:
		buf_add(out, node->text, node->len);
		return true;
	default:
		return true; /* null and containers are not hashed */
	}
}

static bool parse_int(const char *text, int64_t *out)
{
	char *end;
	const char *digits = text + (*text == '+' || *text == '-');
	if (!*digits || digits[strspn(digits, "0123456789")])
		return false;
	errno = 0;
	*out = strtoll(text, &end, 10);
	return !errno;
}

static bool parse_float(const char *text, double *out)
{
	static const char *const words[] = {"inf", "infinity", "nan"};
	const char *digits = text + (*text == '+' || *text == '-');
	char *end;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcasecmp(digits, words[i]) == 0) {
			*out = strtod(text, &end);
			return true;
		}
	}
	if (!*digits || digits[strspn(digits, "0123456789.eE+-")])
		return false;
	*out = strtod(text, &end);
	return end != text && !*end && !isinf(*out);
}

static bool parse_bool(const char *text, bool *out)
{
	static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
	static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		*out = strcmp(text, yes[i]) == 0;
		if (*out || strcmp(text, no[i]) == 0)
			return true;
	}
	return false;
}

/* Fills the value of a node whose kind is set; @p text has no NUL inside. */
static bool parse_value(struct arena *arena, const char *text, struct node *node)
{
	char time[SOPS_TIME_SIZE];
	switch (node->kind) {
	case NODE_INT:
		return parse_int(text, &node->integer);
	case NODE_FLOAT:
		return parse_float(text, &node->number);
	case NODE_BOOL:
		return parse_bool(text, &node->boolean);
	case NODE_TIME:
		if (!sops_time_format(text, SOPS_TIME_RFC3339, true, time))
			return false;
		node->iso = arena_str(arena, time);
		return true;
	default:
		return true;
	}
}

/* The text that users see: canonical for all but strings. */
static bool set_text(
	struct arena *arena, const struct buf *plain, struct node *node, struct error *err)
{
	auto_buf struct buf text = BUF_INIT_SECRET(1024);
	const struct buf *source = plain;
	if (node->kind != NODE_STRING) {
		if (!sops_value_mac_text(node, &text, err))
			return false;
		source = &text;
		if (node->kind == NODE_BOOL) {
			buf_truncate(&text, 0);
			buf_add_str(&text, node->boolean ? "true" : "false");
		}
	}
	node->text = arena_dup(arena, source->text, source->len);
	node->len = source->len;
	return true;
}

bool sops_value_node(struct arena *arena, const struct node *place, const struct sops_plain *plain,
	const struct node **node_out, struct error *err)
{
	static const enum node_kind kinds[SOPS_TYPES] = {
		[SOPS_STR] = NODE_STRING,
		[SOPS_INT] = NODE_INT,
		[SOPS_FLOAT] = NODE_FLOAT,
		[SOPS_BOOL] = NODE_BOOL,
		[SOPS_TIME] = NODE_TIME,
		[SOPS_BYTES] = NODE_STRING,
	};
	const struct buf *text = &plain->text;
	enum sops_type type = plain->type;
	*node_out = NULL;
	if (type == SOPS_COMMENT)
		return true;
	struct node *node = node_new(arena, kinds[type], place);
	bool nul = kinds[type] != NODE_STRING && strlen(text->text) != text->len;
	node->plain = false;
	node->tag = NULL;
	if (nul || !parse_value(arena, text->text, node))
		return error_set(
			err, ERR_INVALID, "encrypted value is no %s", node_kind_name(kinds[type]));
	if (!set_text(arena, text, node, err))
		return false;
	*node_out = node;
	return true;
}
