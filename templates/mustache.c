#include "templates/mustache.h"
#include "templates/mustache_context.h"

#define OUTPUT_MAX    ((size_t)4 << 20)
#define TEMPLATES_MAX ((size_t)4 << 20) /* bytes of a template and its partials */
#define PARTIALS_MAX  1000              /* different ones */
#define STEPS_MAX     ((size_t)2 << 20) /* lists in lists multiply without printing anything */
#define TEXT_MAX      ((size_t)64 << 10)

/* Indentation of the partials that are being rendered, outermost last. */
struct indentation {
	const char *text;
	size_t len;
	const struct indentation *outer;
};

struct renderer {
	const struct mustache_options *options;
	const struct node *root;
	struct arena *arena;
	struct mustache_template *templates; /* parsed so far, each once */
	size_t templates_count, templates_len;
	size_t steps;
	struct buf *out;
	size_t out_start;
	size_t max_output;
	struct buf printed; /* of the value at hand; may be a secret */
	struct error *err;
};

/* Where the renderer is: everything that changes on the way down. */
struct place {
	const struct mustache_template *template;
	const struct mustache_frame *top;
	const struct indentation *indentation;
	unsigned depth;
};

static void renderer_clear(struct renderer *renderer)
{
	buf_clear(&renderer->printed);
	arena_free(renderer->arena);
}

PRINTF(4, 5)
static bool fail(const struct renderer *renderer, const struct place *place,
	const struct mustache_token *token, const char *format, ...)
{
	char message[sizeof(renderer->err->message)];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(message, sizeof(message), format, args); /* cutting is harmless here */
	va_end(args);
	error_set(renderer->err, ERR_INVALID, "%s", message);
	return error_at(renderer->err, place->template->file, token->line);
}

static bool step(
	struct renderer *renderer, const struct place *place, const struct mustache_token *token)
{
	if (++renderer->steps <= STEPS_MAX)
		return true;
	return fail(renderer, place, token, "rendering takes more than %zu steps", STEPS_MAX);
}

/* ---- output --------------------------------------------------------------------------------- */

static bool emit(struct renderer *renderer, const struct place *place,
	const struct mustache_token *token, const char *bytes, size_t len)
{
	struct buf *out = renderer->out;
	size_t room = renderer->max_output - (out->len - renderer->out_start);
	if (len <= room)
		buf_add(out, bytes, len);
	if (len > room || buf_overflowed(out))
		return fail(renderer, place, token, "output is larger than %zu bytes",
			renderer->max_output);
	return true;
}

static bool emit_html(struct renderer *renderer, const struct place *place,
	const struct mustache_token *token, const char *text, size_t len)
{
	static const char special[] = "&<>\"'";
	static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
	while (len) {
		size_t plain = 0;
		while (plain < len && (!text[plain] || !strchr(special, text[plain])))
			plain++;
		if (!emit(renderer, place, token, text, plain))
			return false;
		if (plain == len)
			break;
		const char *entity = entities[strchr(special, text[plain]) - special];
		if (!emit(renderer, place, token, entity, strlen(entity)))
			return false;
		text += plain + 1;
		len -= plain + 1;
	}
	return true;
}

static bool emit_indentation(struct renderer *renderer, const struct place *place,
	const struct mustache_token *token, const struct indentation *indentation)
{
	if (indentation->outer && !emit_indentation(renderer, place, token, indentation->outer))
		return false;
	return emit(renderer, place, token, indentation->text, indentation->len);
}

static bool emit_literal(
	struct renderer *renderer, const struct place *place, const struct mustache_token *token)
{
	const char *text = token->text, *end = text + token->len;
	if (!place->indentation)
		return emit(renderer, place, token, text, token->len);
	while (text < end) {
		const char *feed = memchr(text, '\n', (size_t)(end - text));
		const char *next = feed ? feed + 1 : end;
		/* The first line's indentation is written by render_range(). */
		if (text > token->text &&
			!emit_indentation(renderer, place, token, place->indentation))
			return false;
		if (!emit(renderer, place, token, text, (size_t)(next - text)))
			return false;
		text = next;
	}
	return true;
}

/* ---- values --------------------------------------------------------------------------------- */

static const struct node *look_up(struct renderer *renderer, const struct place *place,
	const struct mustache_token *token, struct mustache_lookup *lookup_out)
{
	const struct mustache_hooks *hooks = &renderer->options->hooks;
	*lookup_out = mustache_find(place->top, token);
	/* {{#.}} at the top puts the root on the stack again; "." itself reads nothing new. */
	if (lookup_out->value && token->part_count && hooks->read &&
		lookup_out->frame->value == renderer->root)
		hooks->read(hooks->data, token->name, lookup_out->value);
	return lookup_out->value;
}

static bool fail_missing(struct renderer *renderer, const struct place *place,
	const struct mustache_token *token, const struct mustache_lookup *lookup)
{
	mustache_explain_missing(place->top, token, lookup, renderer->err);
	return error_at(renderer->err, place->template->file, token->line);
}

static bool is_scalar(const struct node *value)
{
	return value->kind != NODE_LIST && value->kind != NODE_MAP;
}

/* The text of a scalar: the hook's, or as written. Points into the node or renderer->printed. */
static bool print_value(struct renderer *renderer, const struct mustache_token *token,
	const struct node *value, const char **text_out, size_t *len_out)
{
	const struct mustache_hooks *hooks = &renderer->options->hooks;
	if (hooks->print) {
		buf_clear(&renderer->printed);
		if (!hooks->print(
			    hooks->data, token->name, value, &renderer->printed, renderer->err))
			return false;
		*text_out = renderer->printed.text;
		*len_out = renderer->printed.len;
		return true;
	}
	*text_out = value->text ? value->text : "";
	*len_out = value->text ? value->len : 0;
	if (value->kind == NODE_NULL)
		*len_out = 0;
	if (value->kind == NODE_BOOL) {
		*text_out = value->boolean ? "true" : "false";
		*len_out = strlen(*text_out);
	}
	return true;
}

static bool render_value(
	struct renderer *renderer, const struct place *place, const struct mustache_token *token)
{
	struct mustache_lookup lookup;
	const char *text;
	size_t len;
	bool strict = renderer->options->strict;
	const struct node *value = look_up(renderer, place, token, &lookup);
	if (!value)
		return !strict || fail_missing(renderer, place, token, &lookup);
	if (!is_scalar(value)) {
		if (!strict)
			return true; /* the specification leaves it open: nothing, as for a miss */
		fail(renderer, place, token, "'%s' is a %s and cannot be printed", token->name,
			node_kind_name(value->kind));
		return error_hint(renderer->err,
			"print what is in it: '{{#%s}}...{{/%s}}' around that", token->name,
			token->name);
	}
	if (!print_value(renderer, token, value, &text, &len))
		return error_at(renderer->err, place->template->file, token->line);
	if (buf_overflowed(&renderer->printed))
		return fail(renderer, place, token, "output is larger than %zu bytes",
			renderer->max_output);
	if (token->tag == MUSTACHE_VALUE && renderer->options->escape == MUSTACHE_ESCAPE_HTML)
		return emit_html(renderer, place, token, text, len);
	return emit(renderer, place, token, text, len);
}

/* False are null, false, "", 0 and the empty list, as in the specification's own `!!data`. */
static bool is_true(const struct node *value)
{
	switch (value->kind) {
	case NODE_NULL:
		return false;
	case NODE_BOOL:
		return value->boolean;
	case NODE_INT:
		return value->integer != 0;
	case NODE_FLOAT:
		return value->number != 0;
	case NODE_STRING:
		return value->len > 0;
	case NODE_LIST:
		return value->count > 0;
	default:
		return true;
	}
}

/* ---- sections and partials ------------------------------------------------------------------ */

static bool render_range(
	struct renderer *renderer, const struct place *place, size_t from, size_t to);

static bool go_deeper(struct renderer *renderer, const struct place *place,
	const struct mustache_token *token, struct place *deeper)
{
	*deeper = *place;
	if (++deeper->depth <= MUSTACHE_MAX_DEPTH)
		return true;
	return fail(renderer, place, token, "sections and partials are nested deeper than %d",
		MUSTACHE_MAX_DEPTH);
}

/* The body with the closing tag, which carries indentation if it begins a line. */
static bool render_body(struct renderer *renderer, const struct place *place,
	const struct mustache_token *section, const struct node *value)
{
	struct place inside;
	struct mustache_frame frame = {value, place->top};
	size_t from = (size_t)(section - place->template->tokens) + 1;
	if (!go_deeper(renderer, place, section, &inside))
		return false;
	if (value)
		inside.top = &frame;
	return render_range(renderer, &inside, from, section->end + 1);
}

static bool render_section(
	struct renderer *renderer, const struct place *place, const struct mustache_token *section)
{
	struct mustache_lookup lookup;
	const struct mustache_hooks *hooks = &renderer->options->hooks;
	const struct node *value = look_up(renderer, place, section, &lookup);
	if (!value && renderer->options->strict &&
		!(hooks->missing_section && hooks->missing_section(hooks->data, section->name)))
		return fail_missing(renderer, place, section, &lookup);
	bool truth = value && is_true(value);
	if (section->tag == MUSTACHE_INVERTED)
		return truth || render_body(renderer, place, section, NULL);
	if (!truth)
		return true;
	if (value->kind != NODE_LIST)
		return render_body(renderer, place, section, value);
	for (size_t i = 0; i < value->count; i++)
		if (!step(renderer, place, section) ||
			!render_body(renderer, place, section, value->items[i]))
			return false;
	return true;
}

/* Parse a text once, however often it is included. */
static const struct mustache_template *get_template(
	struct renderer *renderer, const char *file, const char *text, size_t len)
{
	struct mustache_template *template = renderer->templates;
	for (; template; template = template->next)
		if (template->text == text && template->len == len && !strcmp(template->file, file))
			return template;
	if (len > TEMPLATES_MAX - renderer->templates_len ||
		renderer->templates_count > PARTIALS_MAX) {
		error_set(renderer->err, ERR_INVALID,
			"a template and its partials are more than %d files or %zu bytes",
			PARTIALS_MAX, TEMPLATES_MAX);
		error_at(renderer->err, file, 0);
		return NULL;
	}
	renderer->templates_count++;
	renderer->templates_len += len;
	template = arena_alloc(renderer->arena, sizeof(*template));
	*template = (struct mustache_template){.file = file, .text = text, .len = len};
	if (!mustache_parse(renderer->arena, template, renderer->err))
		return NULL;
	template->next = renderer->templates;
	renderer->templates = template;
	return template;
}

static const struct mustache_template *load_partial(
	struct renderer *renderer, const struct place *place, const struct mustache_token *token)
{
	static const struct mustache_template nothing = {.file = "", .text = ""};
	const struct mustache_hooks *hooks = &renderer->options->hooks;
	const char *file, *text;
	size_t len;
	error_set(renderer->err, ERR_NOT_FOUND, "there are no partials here");
	if (hooks->partial && hooks->partial(hooks->data, token->name, place->template->file, &file,
				      &text, &len, renderer->err))
		return get_template(renderer, file, text, len);
	if (renderer->err->code == ERR_NOT_FOUND) {
		if (!renderer->options->strict)
			return &nothing;
		renderer->err->code = ERR_INVALID;
	}
	error_wrap(renderer->err, "partial '%s'", token->name);
	error_at(renderer->err, place->template->file, token->line);
	return NULL;
}

static bool render_partial(
	struct renderer *renderer, const struct place *place, struct mustache_token *token)
{
	struct place inside;
	struct indentation indentation = {token->text, token->len, place->indentation};
	if (!go_deeper(renderer, place, token, &inside))
		return false;
	if (!token->partial)
		token->partial = load_partial(renderer, place, token);
	if (!token->partial)
		return false;
	inside.template = token->partial;
	inside.indentation = token->standalone ? &indentation : NULL;
	return render_range(renderer, &inside, 0, token->partial->count);
}

static bool render_token(
	struct renderer *renderer, const struct place *place, struct mustache_token *token)
{
	switch (token->tag) {
	case MUSTACHE_LITERAL:
		return emit_literal(renderer, place, token);
	case MUSTACHE_VALUE:
	case MUSTACHE_RAW_VALUE:
		return render_value(renderer, place, token);
	case MUSTACHE_SECTION:
	case MUSTACHE_INVERTED:
		return render_section(renderer, place, token);
	case MUSTACHE_PARTIAL:
		return render_partial(renderer, place, token);
	default:
		return true;
	}
}

static bool render_range(
	struct renderer *renderer, const struct place *place, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		struct mustache_token *token = &place->template->tokens[i];
		if (!step(renderer, place, token))
			return false;
		if (token->line_start && place->indentation &&
			!emit_indentation(renderer, place, token, place->indentation))
			return false;
		if (!render_token(renderer, place, token))
			return false;
		if (token->tag == MUSTACHE_SECTION || token->tag == MUSTACHE_INVERTED)
			i = token->end;
	}
	return true;
}

bool mustache_render(const char *file, const char *text, size_t len, const struct node *context,
	const struct mustache_options *options, struct buf *out, struct error *err)
{
	size_t max_output = options->max_output ? options->max_output : OUTPUT_MAX;
	CLEANUP(renderer_clear)
	struct renderer renderer = {
		.options = options,
		.root = context,
		.arena = arena_new(ARENA_PLAIN, 0),
		.out = out,
		.out_start = out->len,
		.max_output = max_output,
		.printed = BUF_INIT_SECRET(max_output),
		.err = err,
	};
	struct mustache_frame bottom = {.value = context};
	struct place place = {.top = &bottom};
	place.template = get_template(&renderer, file, text, len);
	return place.template && render_range(&renderer, &place, 0, place.template->count);
}

bool mustache_text(const struct node *place, const char *text, const struct node *context,
	char **out, struct error *err)
{
	const struct mustache_options options = {.strict = true, .max_output = TEXT_MAX};
	auto_buf struct buf rendered = BUF_INIT(TEXT_MAX);
	if (!mustache_render("", text, strlen(text), context, &options, &rendered, err)) {
		err->where[0] = '\0'; /* a line of the text would say nothing */
		if (place && place->file)
			error_at(err, place->file, place->line);
		return false;
	}
	*out = buf_steal(&rendered);
	return true;
}
