#include "base/problems.h"
#include "base/buf.h"
#include <stdarg.h>

static void problem_clear(struct problem *problem)
{
	free(problem->file);
	free(problem->what);
	free(problem->fix);
}

/* Errors decide, so a full list gives up its newest warning for one. */
static bool make_room(struct problems *problems, bool for_warning)
{
	if (problems->count < PROBLEMS_LIMIT)
		return true;
	if (for_warning)
		return false;
	for (size_t i = problems->count; i > 0; i--) {
		struct problem *item = &problems->items[i - 1];
		if (!item->warning)
			continue;
		problem_clear(item);
		memmove(item, item + 1, (problems->count - i) * sizeof(*item));
		problems->count--;
		return true;
	}
	return false;
}

static void add(struct problems *problems, bool warning, const char *file, unsigned line,
	const char *fix, const char *format, va_list args)
{
	size_t *counter = warning ? &problems->warnings : &problems->errors;
	(*counter)++;
	if (!make_room(problems, warning))
		return;
	char *what = mem_vprintf(format, args);
	mem_grow(problems->items, problems->count, problems->capacity);
	problems->items[problems->count++] = (struct problem){
		.warning = warning,
		.file = mem_dup_str(file ? file : ""),
		.line = line,
		.what = what,
		.fix = mem_dup_str(fix ? fix : ""),
	};
}

void problems_add(struct problems *problems, const char *file, unsigned line, const char *fix,
	const char *format, ...)
{
	va_list args;
	va_start(args, format);
	add(problems, false, file, line, fix, format, args);
	va_end(args);
}

void problems_warn(struct problems *problems, const char *file, unsigned line, const char *fix,
	const char *format, ...)
{
	va_list args;
	va_start(args, format);
	add(problems, true, file, line, fix, format, args);
	va_end(args);
}

char *problems_quote(const char *format, va_list args)
{
	auto_buf struct buf text = BUF_INIT(1024), clean = BUF_INIT(1024);
	buf_addv(&text, format, args);
	buf_add_clean(&clean, text.text, text.len);
	return buf_steal(&clean);
}

void problems_add_error(struct problems *problems, const struct error *err)
{
	char file[sizeof(err->where)];
	unsigned line = 0;
	memcpy(file, err->where, sizeof(file));
	char *colon = strrchr(file, ':');
	if (colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1)) {
		line = (unsigned)strtoul(colon + 1, NULL, 10);
		*colon = '\0';
	}
	problems_add(problems, file, line, err->hint, "%s", err->message);
}

char *problem_text(const struct problem *problem)
{
	char line[16] = "";
	if (problem->file[0] && problem->line)
		(void)snprintf(line, sizeof(line), ":%u", problem->line);
	return mem_printf("%s%s%s%s%s%s%s", problem->file, line, problem->file[0] ? ": " : "",
		problem->warning ? "warning: " : "", problem->what, problem->fix[0] ? ": " : "",
		problem->fix);
}

static int compare(const void *a, const void *b)
{
	const struct problem *left = a, *right = b;
	int order = strcmp(left->file, right->file);
	if (!order)
		order = (left->line > right->line) - (left->line < right->line);
	if (!order)
		order = strcmp(left->what, right->what);
	/* An error is never taken for a repeated warning. */
	return order ? order : left->warning - right->warning;
}

void problems_sort(struct problems *problems)
{
	size_t kept = 0;
	if (problems->count > 1)
		qsort(problems->items, problems->count, sizeof(*problems->items), compare);
	for (size_t i = 0; i < problems->count; i++) {
		struct problem *item = &problems->items[i];
		if (kept && !compare(&problems->items[kept - 1], item)) {
			(*(item->warning ? &problems->warnings : &problems->errors))--;
			problem_clear(item);
			continue;
		}
		problems->items[kept++] = *item;
	}
	problems->count = kept;
}

bool problems_to_error(const struct problems *problems, struct error *err)
{
	for (size_t i = 0; i < problems->count; i++) {
		const struct problem *first = &problems->items[i];
		if (first->warning)
			continue;
		error_set(err, ERR_INVALID, "%s", first->what);
		if (problems->errors > 1)
			error_set(err, ERR_INVALID, "%s (and %zu more)", first->what,
				problems->errors - 1);
		if (first->file[0])
			error_at(err, first->file, first->line);
		if (first->fix[0])
			error_hint(err, "%s", first->fix);
		return false;
	}
	return error_set(err, ERR_INVALID, "no problem was recorded");
}

void problems_clear(struct problems *problems)
{
	for (size_t i = 0; i < problems->count; i++)
		problem_clear(&problems->items[i]);
	free(problems->items);
	*problems = (struct problems){0};
}
