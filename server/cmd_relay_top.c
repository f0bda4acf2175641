/* fairlead relay top: who uses the server's relay right now. Rates are those between two answers. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/obj.h"
#include "server/cli.h"
#include "server/cmd.h"

#define PATH		"/relay/traffic?nodes=1000&pairs=1000"
#define ASKED_MAX	1000u	/* of that */
#define ROWS_ONCE	20u	/* of each table, where there is no screen to fill */
#define HEAD_LINES	6u	/* of a screen: what is no row */
#define CTRL_C		3

static bool is_once;
static const char *interval_text;

/* What a second had of a node or pair. */
struct row {
	const char *name, *to;
	const json_t *object;		/* borrowed */
	double in, out, packets, dropped;
};

struct view {
	double seconds;
	const json_t *before, *now;	/* answers; before may be NULL */
	struct row *nodes, *pairs;
	size_t n_nodes, n_pairs;
	json_t *names;			/* texts that rows point to */
};

/* --- rates ------------------------------------------------------------------------------------ */

static int64_t
number(const json_t *object, const char *member)
{
	const char *dot = strchr(member, '.');
	char outer[32];

	if (dot == NULL)
		return json_get_int(object, member, 0);
	snprintf(outer, sizeof(outer), "%.*s", (int)(dot - member), member);
	return json_get_int(json_object_get(object, outer), dot + 1, 0);
}

/* Per second. A count that is smaller than before belongs to another connection: all of it is new. */
static double
rate(const struct view *v, const json_t *before, const json_t *now, const char *member)
{
	int64_t a = number(before, member), b = number(now, member);

	return v->seconds > 0 ? (double)(b >= a ? b - a : b) / v->seconds : 0;
}

static const char *
key_of(const json_t *object)
{
	return json_get_str(object, "key", NULL);
}

/* What tells an element of the lists from others; NULL: nothing does. The view keeps it. */
static const char *
element_id(const struct view *v, const json_t *object)
{
	const char *key = key_of(object), *from = key_of(json_object_get(object, "from"));
	json_t *id;

	if (key != NULL || from == NULL)
		return key;
	id = json_sprintf("%s>%s", from, json_get_str(json_object_get(object, "to"), "key", "?"));
	json_array_append_new(v->names, id);
	return json_string_value(id);
}

static json_t *
index_make(const struct view *v, const char *list)
{
	json_t *index = json_object(), *x;
	const char *id;
	size_t i;

	json_array_foreach(json_object_get(v->before, list), i, x)
		if ((id = element_id(v, x)) != NULL)
			json_object_set(index, id, x);
	return index;
}

/* A name for people, kept by the view. */
static const char *
name_of(struct view *v, const json_t *who)
{
	const char *name = json_get_str(who, "name", NULL), *key = key_of(who);
	json_t *text;

	if (name != NULL)
		return name;
	if (key != NULL)
		text = json_sprintf("%.16s…", key);
	else
		text = json_sprintf("relay %s", json_get_str(who, "address", "?"));
	json_array_append_new(v->names, text);
	return json_string_value(text);
}

/* Was the element not there, or only not among those that were told? Then no rate is known. */
static bool
has_rate(const struct view *v, const char *list, const json_t *before)
{
	return before != NULL || json_array_size(json_object_get(v->before, list)) < ASKED_MAX;
}

static int
by_rate(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	double p = x->in + x->out, q = y->in + y->out;

	if (p != q)
		return p < q ? 1 : -1;
	return strcmp(x->name, y->name);
}

static struct row *
rows_make(struct view *v, const char *list, size_t *n)
{
	json_t *index = index_make(v, list), *x;
	struct row *rows = obj_alloc((json_array_size(json_object_get(v->now, list)) + 1) * sizeof(*rows));
	bool are_pairs = strcmp(list, "pairs") == 0;
	size_t i;

	*n = 0;
	json_array_foreach(json_object_get(v->now, list), i, x) {
		const char *id = element_id(v, x);
		const json_t *before = id != NULL ? json_object_get(index, id) : NULL;
		struct row *r = &rows[(*n)++];

		r->object = x;
		r->name = name_of(v, are_pairs ? json_object_get(x, "from") : x);
		r->to = are_pairs ? name_of(v, json_object_get(x, "to")) : NULL;
		if (v->before == NULL || !has_rate(v, list, before))
			continue;
		r->in = rate(v, before, x, are_pairs ? "bytes" : "bytesReceived");
		r->out = are_pairs ? 0 : rate(v, before, x, "bytesSent");
		r->packets = are_pairs ? rate(v, before, x, "packets") :
		    rate(v, before, x, "packetsReceived") + rate(v, before, x, "packetsSent");
		r->dropped = rate(v, before, x, "dropped.unknownDest") +
		    rate(v, before, x, "dropped.queueHead") + rate(v, before, x, "dropped.queueTail");
	}
	json_decref(index);
	qsort(rows, *n, sizeof(*rows), by_rate);
	return rows;
}

/* --- for people ------------------------------------------------------------------------------- */

/* "12.3 Mbit/s". */
static void
cell_rate(struct cli_table *t, double bytes)
{
	static const char *const units[] = { "bit/s", "kbit/s", "Mbit/s", "Gbit/s" };
	double x = bytes * 8;
	unsigned i = 0;
	char text[32];

	for (; x >= 999.5 && i < COUNT_OF(units) - 1; i++)
		x /= 1000;
	snprintf(text, sizeof(text), "%.*f %s", i == 0 || x >= 100 ? 0 : 1, x, units[i]);
	cli_table_cell(t, text);
}

static void
cell_bytes(struct cli_table *t, double bytes)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
	unsigned i = 0;
	char text[32];

	for (; bytes >= 999.5 && i < COUNT_OF(units) - 1; i++)
		bytes /= 1000;
	snprintf(text, sizeof(text), "%.*f %s", i == 0 || bytes >= 100 ? 0 : 1, bytes, units[i]);
	cli_table_cell(t, text);
}

static void
cell_number(struct cli_table *t, double x)
{
	char text[32];

	snprintf(text, sizeof(text), "%.0f", x);
	cli_table_cell(t, text);
}

static void
print_nodes(const struct view *v, size_t max)
{
	static const char *const heads[] = { "NODE", "SENDS", "GETS", "PACKETS/S", "DROPPED/S", "DROPPED",
		"WAITING", "MOVES", "HOME", "CONNECTED" };
	struct cli_table *t = cli_table_new(heads, COUNT_OF(heads));
	char span[CLI_TIME_MAX];

	for (size_t i = 0; i < v->n_nodes && i < max; i++) {
		const struct row *r = &v->nodes[i];

		cli_table_cell(t, r->name);
		cell_rate(t, r->in);
		cell_rate(t, r->out);
		cell_number(t, r->packets);
		cell_number(t, r->dropped);
		cell_number(t, (double)(number(r->object, "dropped.unknownDest") +
		    number(r->object, "dropped.queueHead") + number(r->object, "dropped.queueTail")));
		cell_bytes(t, (double)number(r->object, "bytesQueued"));
		cell_number(t, (double)number(r->object, "homeMoves"));
		cli_table_cell(t, json_get_bool(r->object, "home", false) ? "yes" : "no");
		cli_table_cell(t, cli_span_put(number(r->object, "connectedSeconds"), span));
	}
	cli_table_print(t, stdout);
	cli_table_free(t);
}

static void
print_pairs(const struct view *v, size_t max)
{
	static const char *const heads[] = { "FROM", "TO", "RATE", "PACKETS/S", "BYTES", "PACKETS" };
	struct cli_table *t = cli_table_new(heads, COUNT_OF(heads));

	for (size_t i = 0; i < v->n_pairs && i < max; i++) {
		const struct row *r = &v->pairs[i];

		cli_table_cell(t, r->name);
		cli_table_cell(t, r->to);
		cell_rate(t, r->in);
		cell_number(t, r->packets);
		cell_bytes(t, (double)number(r->object, "bytes"));
		cell_number(t, (double)number(r->object, "packets"));
	}
	cli_table_print(t, stdout);
	cli_table_free(t);
}

/* The bound that 99 % of the packets since before did not wait for longer than; "" of none. */
static const char *
delay_p99(const struct view *v, char out[32])
{
	const json_t *a = json_object_get(json_object_get(v->before, "total"), "queueDelay");
	const json_t *b = json_object_get(json_object_get(v->now, "total"), "queueDelay");
	int64_t all = 0, seen = 0;
	const json_t *x;
	size_t i;

	json_array_foreach(b, i, x)
		all += number(x, "packets") - number(json_array_get(a, i), "packets");
	json_array_foreach(b, i, x) {
		seen += number(x, "packets") - number(json_array_get(a, i), "packets");
		if (all > 0 && (double)seen >= 0.99 * (double)all) {
			if (json_is_null(json_object_get(x, "upToMs")))
				snprintf(out, 32, ", delay p99 over 1 s");
			else
				snprintf(out, 32, ", delay p99 up to %lld ms", (long long)number(x, "upToMs"));
			return out;
		}
	}
	return "";
}

static void
print_view(const struct view *v, size_t rows)
{
	static const char *const drops[] = { "dropped.unknownDest", "dropped.unknownDestOnForward",
		"dropped.goneDisconnected", "dropped.queueHead", "dropped.queueTail", "dropped.memory",
		"dropped.workerBusy" };
	const json_t *a = json_object_get(v->before, "total"), *b = json_object_get(v->now, "total");
	double dropped = 0;
	char delay[32];

	for (size_t i = 0; i < COUNT_OF(drops); i++)
		dropped += rate(v, a, b, drops[i]);
	printf("%lld connected, %lld at home here; %.1f Mbit/s in, %.1f Mbit/s out, %.0f packets/s, "
	    "%.0f dropped/s%s\n\n", (long long)number(v->now, "connected"),
	    (long long)number(b, "homeConnections"), rate(v, a, b, "bytesReceived") * 8e-6,
	    rate(v, a, b, "bytesSent") * 8e-6, rate(v, a, b, "packetsReceived"), dropped,
	    delay_p99(v, delay));
	print_nodes(v, rows);
	if (v->n_pairs > 0) {
		putchar('\n');
		print_pairs(v, rows);
	}
}

/* --- for programs ------------------------------------------------------------------------------ */

static json_t *
real(double x)
{
	return json_real((double)(int64_t)(x * 10 + 0.5) / 10);
}

/* The answer, with rates, in the order of rates. */
static int
print_json(const struct view *v)
{
	json_t *o = json_deep_copy(v->now), *nodes = json_array(), *pairs = json_array(), *x;

	for (size_t i = 0; i < v->n_nodes; i++) {
		x = json_deep_copy(v->nodes[i].object);
		json_object_set_new(x, "bytesReceivedPerSecond", real(v->nodes[i].in));
		json_object_set_new(x, "bytesSentPerSecond", real(v->nodes[i].out));
		json_object_set_new(x, "packetsPerSecond", real(v->nodes[i].packets));
		json_object_set_new(x, "droppedPerSecond", real(v->nodes[i].dropped));
		json_array_append_new(nodes, x);
	}
	for (size_t i = 0; i < v->n_pairs; i++) {
		x = json_deep_copy(v->pairs[i].object);
		json_object_set_new(x, "bytesPerSecond", real(v->pairs[i].in));
		json_object_set_new(x, "packetsPerSecond", real(v->pairs[i].packets));
		json_array_append_new(pairs, x);
	}
	json_object_set_new(o, "seconds", json_real(v->seconds));
	json_object_set_new(o, "nodes", nodes);
	json_object_set_new(o, "pairs", pairs);
	cli_print_json(o);
	json_decref(o);
	return 0;
}

/* --- the screen -------------------------------------------------------------------------------- */

static volatile sig_atomic_t is_over;
static struct termios saved;

static void
on_signal(int signal_)
{
	(void)signal_;
	is_over = 1;
}

/* Keys come at once and unseen. */
static void
screen_open(void)
{
	struct sigaction end = { .sa_handler = on_signal };
	struct termios raw;

	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGHUP, &end, NULL);
	sigaction(SIGINT, &end, NULL);
	if (tcgetattr(STDIN_FILENO, &saved) != 0)
		return;
	raw = saved;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

static void
screen_close(void)
{
	tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

static size_t
screen_rows(const struct view *v)
{
	struct winsize size = { .ws_row = 0 };
	size_t lines;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row <= HEAD_LINES + 4)
		return ROWS_ONCE;
	lines = size.ws_row - HEAD_LINES;
	return v->n_nodes < lines / 2 && v->n_pairs < lines / 2 ? lines : lines / 2;
}

/* false: somebody wants it to end. */
static bool
screen_wait(int ms)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	char key;

	if (is_over || poll(&p, 1, ms) < 0)
		return !is_over;
	if ((p.revents & POLLIN) == 0 || read(STDIN_FILENO, &key, 1) != 1)
		return p.revents == 0;
	return key != 'q' && key != 'Q' && key != CTRL_C;
}

/* --- asking ------------------------------------------------------------------------------------ */

/* The interval in ms; 0: it is none, which is said. */
static int
interval_ms(void)
{
	char *end;
	double s = 1;

	if (interval_text != NULL) {
		s = strtod(interval_text, &end);
		if (*end != '\0' || !(s >= 0.1 && s <= 3600)) {
			cli_fail("--interval: seconds, from 0.1 to 3600");
			return 0;
		}
	}
	return (int)(s * 1000);
}

static void
view_make(struct view *v, const json_t *before, const json_t *now)
{
	*v = (struct view){ .before = before, .now = now, .names = json_array() };
	if (before != NULL)
		v->seconds = (double)(number(now, "atMs") - number(before, "atMs")) / 1000;
	v->nodes = rows_make(v, "nodes", &v->n_nodes);
	v->pairs = rows_make(v, "pairs", &v->n_pairs);
}

static void
view_free(struct view *v)
{
	free(v->nodes);
	free(v->pairs);
	json_decref(v->names);
}

static int
top_once(const struct cli *c, int ms)
{
	struct timespec wait = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };
	json_t *before = NULL, *now = NULL;
	struct view v;
	int status;

	if ((status = cli_call("GET", PATH, NULL, &before)) != 0)
		return status;
	nanosleep(&wait, NULL);
	if ((status = cli_call("GET", PATH, NULL, &now)) == 0) {
		view_make(&v, before, now);
		if (c->is_json)
			print_json(&v);
		else
			print_view(&v, ROWS_ONCE);
		view_free(&v);
	}
	json_decref(before);
	json_decref(now);
	return status;
}

static int
top_live(int ms)
{
	json_t *before = NULL, *now;
	struct view v;
	int status;

	screen_open();
	for (int wait_ms = ms < 1000 ? ms : 1000;; wait_ms = ms) {
		if ((status = cli_call("GET", PATH, NULL, &now)) != 0)
			break;
		view_make(&v, before, now);
		fputs("\033[H\033[2J", stdout);
		print_view(&v, screen_rows(&v));
		fflush(stdout);
		view_free(&v);
		json_decref(before);
		before = now;
		if (!screen_wait(wait_ms))
			break;
	}
	screen_close();
	json_decref(before);
	return status;
}

static int
top(struct cli *c)
{
	int ms = interval_ms();

	if (ms == 0)
		return 2;
	if (is_once || c->is_json || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		return top_once(c, ms);
	return top_live(ms);
}

static const struct cli_opt opts[] = {
	{ "once", 0, CLI_BOOL, &is_once, NULL, "one table, of the next interval; also where there is no "
	  "terminal, and with -o json" },
	{ "interval", 'i', CLI_STRING, &interval_text, "SECONDS", "between two looks; default 1" },
	{ NULL, 0, CLI_BOOL, NULL, NULL, NULL }
};

static const struct cli_verb verbs[] = {
	{ "", NULL, "", 0, 0, "Shows who uses the server's relay right now, the busiest first; q ends", opts,
	  top },
};

static const struct cli_noun noun = {
	"relay top", "Who uses the server's relay right now.", verbs, COUNT_OF(verbs), false,
};

int
cmd_relay_top(int argc, char **argv)
{
	return cli_main(&noun, argc, argv);
}
