/* links: web/form web/scope */
/* Form bodies and query strings; the first value as scopes. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "web/form.h"
#include "web/scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err_text why;
	struct form f;
	scope_set set;

	if (form_parse((const char *)data, size, &f) != ERR_OK) {
		ASSERT(f.n == 0);
		form_fini(&f);
		return 0;
	}
	ASSERT(f.n <= FORM_PAIRS_MAX);
	for (unsigned i = 0; i < f.n; i++) {
		ASSERT(strlen(f.pairs[i].name) + strlen(f.pairs[i].value) <= size);
		ASSERT(form_get(&f, f.pairs[i].name) != NULL);
		if (scope_parse(f.pairs[i].value, &set, &why) == ERR_OK)
			ASSERT(scope_includes(set, set) && scope_includes(SCOPE_EVERYTHING, set));
	}
	form_fini(&f);
	return 0;
}
