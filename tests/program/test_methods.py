"""What a method adds to the program of every run, as text."""

from sparcl_compile.interface.program import Event, Program
from sparcl_compile.program.build import build
from sparcl_compile.program.methods import parts_of
from sparcl_compile.settings.methods import METHODS
from tests.support.program_text import text
from tests.support.programs import settings
from tests.support.step_text import COUNTED, CURRENT, FINITE, OPTIMIZER, block_of, check, drawn, trained

ALONE = trained("current", indent="")
REPLAYED = "when task >= 1:\n  samples_replayed += rows of replay0.labels"
RECORDED = """
reset sample_outputs
when task >= 1:
  recorded = 0
  rows of train, 256 at most, as before:
    standardise(x=before.raw) -> x_ready as before.x
    eval(before.*) -> before.*
    record_outputs(logits=before.logits, first=recorded)
    recorded += rows of before.labels
"""
SEEN = """
rows of train, 256 at most, as learned:
  see_classes(classes=learned.classes)
"""


def program(name: str, rate: str = "learning_rate", statistics: tuple[str, ...] = ("bn.mean",)) -> Program:
    """The program of a method on a model of the parameters w and v."""
    method = METHODS[name]
    parts = parts_of(method, ("w", "v"), ("w.momentum",), rate, statistics)
    return build(settings(replay=method.replay, parts=parts, fills=method.fills == "steps", decays=rate == "rate"))


def check_around(made: Program, begin: str = "", end: str = "", answer: str = "eval({0}.*) -> {0}.*") -> None:
    """Compare what stands around the steps: the beginning of a task, its end, and the answer to a sample."""
    plain = {name: text(block) for name, block in build(settings()).blocks.items()}
    check(made, "begin_task", block_of(plain["begin_task"], begin).rstrip())
    check(made, "close_task", block_of(end, plain["close_task"]))
    tested = plain["end_task"].replace("    eval(tested.*) -> tested.*", indented(answer.format("tested"), 4))
    check(made, "end_task", block_of(end, tested))
    for name in ("predict", "score"):
        check(made, name, plain[name].replace("eval(asked.*) -> asked.*", answer.format("asked")))


def indented(part: str, width: int) -> str:
    return "\n".join(" " * width + line for line in part.splitlines())


def test_lwf_keeps_what_the_network_said_before_a_task() -> None:
    made = program("lwf")
    recalled = """
when task >= 1:
  recall(current.*) -> current.*
  old_targets(current.*, distill=1.0) -> current.*
"""
    check(made, "step", block_of(CURRENT, recalled, "call move", COUNTED))
    check(made, "move", block_of(ALONE, FINITE, OPTIMIZER))
    check_around(made, begin=RECORDED, end=SEEN)


def test_ewc_pulls_back_to_what_earlier_tasks_need() -> None:
    made = program("ewc")
    pulled = "when task >= 1:\n  pull_back(learning_rate=learning_rate)"
    scored = """
reset w.squares, v.squares
scored = 0
rows of train, 1 at most, as one:
  standardise(x=one.raw) -> x_ready as one.x
  batch(one.*) -> one.*
  score(one.*) -> one.*
  scored += rows of one.labels
consolidate(samples=scored)
"""
    check(made, "step", block_of(CURRENT, "call move", COUNTED))
    check(made, "move", block_of(ALONE, FINITE, pulled, OPTIMIZER))
    check_around(made, end=scored)


def test_ewc_pulls_at_the_rate_of_the_step() -> None:
    moved = text(program("ewc", rate="rate").blocks["move"]).splitlines()
    assert [line for line in moved if "pull_back" in line] == ["  pull_back(learning_rate=rate)"]


def test_a_gem_compares_with_the_gradient_of_a_replayed_batch() -> None:
    made = program("a-gem")
    moved = f"""
when task >= 1:
  train(replay0.*, lazy_reset_grad=1) -> reference.*
  keep_reference()
{trained("current")}
else:
{trained("current")}
{FINITE.strip()}
when task >= 1:
  project()
{OPTIMIZER}
"""
    drawn_batch = "when task >= 1:" + drawn(0, 1, 1.0, 0.0)
    stored = "write_buffer(key=[seed, 0, 0], x=current.raw, labels=current.labels, logits=trained0.logits) -> stored.*"
    check(made, "step", block_of(CURRENT, drawn_batch, "call move", stored, COUNTED, REPLAYED))
    check(made, "move", moved)
    check_around(made)


def test_fdr_fills_the_buffer_when_a_task_is_over() -> None:
    made = program("fdr")
    presented = """
rows of train, 256 at most, as learned:
  standardise(x=learned.raw) -> x_ready as learned.x
  eval(learned.*) -> learned.*
  write_buffer(key=[seed, 0, 0], x=learned.raw, labels=learned.labels, logits=learned.logits) -> stored.*
"""
    drawn_batch = "when task >= 1:" + drawn(0, 0, 0.0, 0.3)
    check(made, "step", block_of(CURRENT, drawn_batch, "call move", COUNTED, REPLAYED))
    both = block_of("when task >= 1:", trained("current", "replay0"), "else:", trained("current"))
    check(made, "move", block_of(both, FINITE, OPTIMIZER))
    check_around(made, end=presented)


def test_icarl_learns_old_outputs_and_answers_by_exemplars() -> None:
    made = program("icarl")
    targets = "sigmoid_targets({0}.*, outputs={0}.{1}, distill=1.0, classes=current.classes) -> {0}.*"
    new = block_of("recall(current.*) -> current.*", targets.format("current", "outputs"))
    old = "  " + targets.format("replay0", "distill_target")
    drawn_batch = block_of("when task >= 1:", drawn(0, 1, 0.0, 1.0), old)
    chosen = """
described = 0
rows of train, 256 at most, as learned:
  standardise(x=learned.raw) -> x_ready as learned.x
  features(learned.*) -> learned.*
  record_features(learned.*, first=described)
  described += rows of learned.labels
reduce_exemplars(classes=learned.classes)
each member to last_member:
  begin_herding(member=member, classes=learned.classes)
  each pick to last_pick:
    herd(label=label)
    gather row as picked
    place_exemplar(picked.*, x=picked.raw, pick=pick)
reset exemplar_sums
buffer_slots()
walked = 0
chunk = 256
each part to last_chunk:
  slice slots at walked, chunk until filled, as old.slot
  buffer_rows(old.*) -> old.*, x as old.raw
  standardise(x=old.raw) -> x_ready as old.x
  features(old.*) -> old.*
  renew_outputs(old.*)
  add_means(old.*)
"""
    check(made, "step", block_of(CURRENT, new, drawn_batch, "call move", COUNTED, REPLAYED))
    both = block_of("when task >= 1:", trained("current", "replay0"), "else:", trained("current"))
    check(made, "move", block_of(both, FINITE, OPTIMIZER))
    begin = block_of("reset sample_features, sample_labels", RECORDED)
    check_around(made, begin, block_of(SEEN, chosen), "features({0}.*) -> {0}.*\nnearest_mean({0}.*) -> {0}.*")


def test_packnet_gives_each_task_weights_of_its_own() -> None:
    made = program("packnet")
    check(made, "step", block_of(CURRENT, "call move", COUNTED, "due packings:\n  pack(task=task)"))
    check(made, "move", block_of(ALONE, FINITE, "hold(task=task)", OPTIMIZER))
    check_around(
        made,
        "reset w.momentum\ncount = 1\nrelease()",
        "keep_statistics(task=task)",
        "eval_of({0}.*, of=of) -> {0}.*",
    )
    assert made.events == {"packings": (Event((2, 3), "all", {}),)}
    check_around(
        program("packnet", statistics=()),
        "reset w.momentum\ncount = 1\nrelease()",
        "",
        "eval_of({0}.*, of=of) -> {0}.*",
    )
