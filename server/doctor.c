/* Findings and how they are printed; probes and their threads. */
#include "server/doctor.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define PROBES_AT_ONCE 8

struct doctor_finding {
	enum doctor_level level;
	char name[DOCTOR_NAME_MAX];
	char *found, *todo;		/* owned; todo is NULL when all is well */
};

struct doctor_report {
	struct doctor_finding *v;
	size_t n;
};

struct doctor_report *
doctor_report_new(void)
{
	return obj_alloc(sizeof(struct doctor_report));
}

void
doctor_report_free(struct doctor_report *r)
{
	for (size_t i = 0; r != NULL && i < r->n; i++) {
		free(r->v[i].found);
		free(r->v[i].todo);
	}
	if (r != NULL)
		free(r->v);
	free(r);
}

PRINTF_LIKE(1, 0) static char *
text_new(const char *fmt, va_list ap)
{
	char *text = NULL;

	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	return text;
}

static void
finding_add(struct doctor_report *r, enum doctor_level level, const char *name, char *found_taken)
{
	r->v = obj_realloc(r->v, (r->n + 1) * sizeof(*r->v));
	struct doctor_finding *f = &r->v[r->n++];

	*f = (struct doctor_finding){ .level = level, .found = found_taken };
	snprintf(f->name, sizeof(f->name), "%s", name);
}

void
doctor_ok(struct doctor_report *r, const char *name, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	finding_add(r, DOCTOR_OK, name, text_new(fmt, ap));
	va_end(ap);
}

void
doctor_bad(struct doctor_report *r, enum doctor_level level, const char *name, const char *fmt, ...)
{
	va_list ap;

	ASSERT(level != DOCTOR_OK);
	va_start(ap, fmt);
	finding_add(r, level, name, text_new(fmt, ap));
	va_end(ap);
}

void
doctor_todo(struct doctor_report *r, const char *fmt, ...)
{
	va_list ap;

	ASSERT(r->n > 0 && r->v[r->n - 1].level != DOCTOR_OK && r->v[r->n - 1].todo == NULL);
	va_start(ap, fmt);
	r->v[r->n - 1].todo = text_new(fmt, ap);
	va_end(ap);
}

/* Is a check of that name asked for? "relay/900a" is, when only names "relay" or the whole. */
static bool
is_wanted(const char *only, const char *name)
{
	const char *p = only;

	if (only == NULL)
		return true;
	while (*p != 0) {
		size_t n = strcspn(p, ",");

		if (n > 0 && strncmp(p, name, n) == 0 && (name[n] == 0 || name[n] == '/'))
			return true;
		p += n + (p[n] == ',' ? 1 : 0);
	}
	return false;
}

/* --- printing ----------------------------------------------------------------------------------- */

static const char *const words[] = { [DOCTOR_OK] = "ok", [DOCTOR_WARN] = "warn",
    [DOCTOR_FAIL] = "fail" };

static void
print_line(const struct doctor_finding *f, int width)
{
	struct buf b = { .len = 0 };

	cli_text_put(&b, f->found);
	printf("%-4s  %-*s  %s\n", words[f->level], width, f->name, buf_cstr(&b));
	if (f->todo != NULL) {
		buf_clear(&b);
		cli_text_put(&b, f->todo);
		printf("      %-*s  -> %s\n", width, "", buf_cstr(&b));
	}
	buf_fini(&b);
}

static json_t *
finding_json(const struct doctor_finding *f)
{
	json_t *v = json_pack("{s:s, s:s, s:s}", "level", words[f->level], "name", f->name, "found",
	    f->found);

	/* What another server says need not be UTF-8. */
	if (v == NULL)
		v = json_pack("{s:s, s:s, s:s}", "level", words[f->level], "name", f->name, "found",
		    "(not to be shown: no UTF-8)");
	if (v != NULL && f->todo != NULL)
		json_object_set_new(v, "todo", json_string(f->todo));
	return v;
}

int
doctor_print(const struct doctor_report *r, const char *only, bool is_json)
{
	size_t counts[3] = { 0 };
	int width = 0;
	json_t *list = json_array(), *whole;

	for (size_t i = 0; i < r->n; i++)
		if (is_wanted(only, r->v[i].name) && (int)strlen(r->v[i].name) > width)
			width = (int)strlen(r->v[i].name);
	for (size_t i = 0; i < r->n; i++) {
		const struct doctor_finding *f = &r->v[i];

		if (!is_wanted(only, f->name))
			continue;
		counts[f->level]++;
		if (is_json)
			json_array_append_new(list, finding_json(f));
		else
			print_line(f, width);
	}
	if (is_json) {
		whole = json_pack("{s:O, s:I, s:I}", "checks", list, "failed",
		    (json_int_t)counts[DOCTOR_FAIL],
		    "warnings", (json_int_t)counts[DOCTOR_WARN]);
		cli_print_json(whole);
		json_decref(whole);
	} else {
		printf("%zu failed, %zu with a warning, %zu ok\n", counts[DOCTOR_FAIL],
		    counts[DOCTOR_WARN],
		    counts[DOCTOR_OK]);
	}
	json_decref(list);
	return counts[DOCTOR_FAIL] > 0 ? 1 : 0;
}

/* --- probes ------------------------------------------------------------------------------------- */

struct doctor_pool {
	const struct doctor_probe *list;
	struct doctor_report **reports;	/* one each */
	size_t n;
	atomic_size_t next;
};

static void *
pool_main(void *arg)
{
	struct doctor_pool *p = arg;
	size_t i;

	while ((i = atomic_fetch_add(&p->next, 1)) < p->n)
		p->list[i].run(p->list[i].arg, p->reports[i]);
	return NULL;
}

void
doctor_probes_run(const struct doctor_probe *list, size_t n, struct doctor_report *r)
{
	struct doctor_pool p = { .list = list, .n = n };
	pthread_t threads[PROBES_AT_ONCE];
	size_t n_threads = 0;

	p.reports = obj_alloc((n + 1) * sizeof(*p.reports));
	for (size_t i = 0; i < n; i++)
		p.reports[i] = doctor_report_new();
	while (n_threads < PROBES_AT_ONCE && n_threads < n &&
	    pthread_create(&threads[n_threads], NULL, pool_main, &p) == 0)
		n_threads++;
	pool_main(&p);
	for (size_t i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < n; i++) {
		struct doctor_report *one = p.reports[i];

		r->v = obj_realloc(r->v, (r->n + one->n + 1) * sizeof(*r->v));
		if (one->n > 0)
			memcpy(r->v + r->n, one->v, one->n * sizeof(*r->v));
		r->n += one->n;
		one->n = 0;
		doctor_report_free(one);
	}
	free(p.reports);
}
