# Load generators: build/bench/relay, build/bench/stun and build/bench/nodes; build/bench/policy measures the policy
# engine alone. Run by tests/tools/bench.sh.
BENCH_OBJ := $(patsubst %,$(BUILD)/obj/tests/bench/%.o,bench seal link)
RELAY_OBJ := $(patsubst %,$(BUILD)/obj/%.o,relay/derp_frame \
             $(patsubst %,tests/bench/%,relay relay_load relay_idle relay_soak derp_client))
NODES_OBJ := $(patsubst %,$(BUILD)/obj/%.o,coord/noise coord/noise_client \
             $(patsubst %,tests/bench/%,nodes node_client nodes_run nodes_watch \
             nodes_phase nodes_storm nodes_command))

POLICY_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,tests/bench/policy.c $(wildcard coord/policy_world*.c) \
             $(wildcard coord/policy_parse*.c) \
             $(patsubst %,coord/%.c,policy policy_ssh policy_ssh_maker policy_posture policy_users \
             ipset hujson tag))

$(BUILD)/bench/policy: $(POLICY_OBJ) $(BENCH_OBJ) $(BASE_OBJ)
$(BUILD)/bench/relay: $(RELAY_OBJ) $(BENCH_OBJ) $(BASE_OBJ)
$(BUILD)/bench/stun: $(patsubst %,$(BUILD)/obj/%.o,relay/stun tests/bench/stun) $(BENCH_OBJ) $(BASE_OBJ)
$(BUILD)/bench/path: $(BUILD)/obj/tests/bench/path.o $(BENCH_OBJ) $(BASE_OBJ)
$(BUILD)/bench/nodes: $(NODES_OBJ) $(BENCH_OBJ) $(BASE_OBJ)
BENCH_PROGRAMS := $(patsubst %,$(BUILD)/bench/%,relay stun path nodes policy)
$(BENCH_PROGRAMS):
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(PKG_LIBS)

bench: $(BENCH_PROGRAMS)
