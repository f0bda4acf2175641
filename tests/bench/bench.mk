# Load generators, run by tests/tools/bench.sh.
BENCH_OBJ := $(patsubst %,$(BUILD)/obj/tests/bench/%.o,bench seal link)
RELAY_OBJ := $(patsubst %,$(BUILD)/obj/%.o,relay/derp_frame \
             $(patsubst %,tests/bench/%,relay relay_load relay_idle derp_client))

$(BUILD)/bench/relay: $(RELAY_OBJ) $(BENCH_OBJ) $(BASE_OBJ)
$(BUILD)/bench/relay:
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(PKG_LIBS)

bench: $(BUILD)/bench/relay
