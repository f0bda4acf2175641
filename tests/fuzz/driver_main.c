/* Runs a fuzz target over the files named on the command line, for builds without libFuzzer. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "re");
		static uint8_t data[4 << 20];

		if (f == NULL) {
			perror(argv[i]);
			return 1;
		}
		size_t n = fread(data, 1, sizeof(data), f);
		fclose(f);
		uint8_t *exact = malloc(n ? n : 1);	/* its own size, so that ASan sees overreads */
		if (exact == NULL)
			return 1;
		for (size_t k = 0; k < n; k++)
			exact[k] = data[k];
		LLVMFuzzerTestOneInput(exact, n);
		free(exact);
	}
	printf("%d inputs\n", argc - 1);
	return 0;
}
