using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Patterns;

/// <summary>An instruction of a compiled regular expression.</summary>
internal enum Op
{
    /// <summary>One character of <c>Set</c>.</summary>
    Set,

    /// <summary><c>A</c> to <c>B</c> characters of <c>Set</c> (B -1: without limit), as many as possible.</summary>
    SetGreedy,

    /// <summary>The same, giving nothing back.</summary>
    SetPossessive,

    /// <summary>The same, as few as possible.</summary>
    SetLazy,

    /// <summary>Goes on at <c>A</c>.</summary>
    Jump,

    /// <summary>Tries the next instruction, then <c>A</c>.</summary>
    TryNext,

    /// <summary>Tries <c>A</c>, then the next instruction.</summary>
    TryOther,

    /// <summary>Writes the position to register <c>A</c>.</summary>
    Save,

    /// <summary>Leaves a loop for <c>B</c> when its body matched nothing since register <c>A</c>.</summary>
    LeaveIfEmpty,

    /// <summary>Holds when the anchor <c>A</c> holds.</summary>
    Anchor,

    /// <summary>What group <c>A</c> matched; <c>B</c> 1: in any case.</summary>
    Back,

    /// <summary>The body behind this instruction matches once and for all; goes on at <c>A</c>.</summary>
    Atomic,

    /// <summary>The body matches here (<c>B</c> 1: does not); goes on at <c>A</c> without having moved.</summary>
    LookAhead,

    /// <summary>The body matches what ends here, noted in register <c>C</c> (<c>B</c> 1: does not); goes on at <c>A</c>. <c>Lengths</c> are tried in turn.</summary>
    LookBehind,

    /// <summary>Holds at the position in register <c>A</c>.</summary>
    IsAt,

    /// <summary>The match, or the body of an atomic group or a look, is complete.</summary>
    Done,
}

/// <summary>One instruction.</summary>
internal readonly record struct Instruction(Op Op, int A = 0, int B = 0, int C = 0, CodePointSet? Set = null, int[]? Lengths = null);

/// <summary>A regular expression compiled for <see cref="RegexMatcher"/>. Immutable and thread-safe.</summary>
internal sealed class RegexProgram
{
    private const int MaxInstructions = 20_000;

    private readonly List<Instruction> code = [];

    private RegexProgram(int groups) => Registers = (groups + 1) * 2;

    /// <summary>The instructions.</summary>
    public Instruction[] Code { get; private set; } = [];

    /// <summary>How many registers a match needs: two a group, one a loop that may turn without moving.</summary>
    public int Registers { get; private set; }

    /// <summary>What a match can begin with; null when anything.</summary>
    public CodePointSet? First { get; private set; }

    /// <summary>Compiles a pattern in Oniguruma's syntax.</summary>
    /// <exception cref="FormatException">The pattern is damaged, uses what is not supported, or is too large.</exception>
    public static RegexProgram Compile(string pattern)
    {
        var node = OnigurumaParser.Parse(pattern, out var groups);
        var program = new RegexProgram(groups) { First = node.First() is { } first ? new CodePointSet(first) : null };
        program.Emit(node);
        program.Add(new Instruction(Op.Done));
        program.Code = [.. program.code];
        return program;
    }

    private int Add(Instruction instruction)
    {
        if (code.Count >= MaxInstructions)
        {
            throw new FormatException("is too large: its repetitions unfold into more than 20,000 steps.");
        }

        code.Add(instruction);
        return code.Count - 1;
    }

    private void Patch(int index) => code[index] = code[index] with { A = code.Count };

    private void Emit(RegexNode node)
    {
        switch (node)
        {
            case RegexNode.OneOf one:
                Add(new Instruction(Op.Set, Set: one.Set));
                break;
            case RegexNode.Sequence sequence:
                foreach (var item in sequence.Nodes)
                {
                    Emit(item);
                }

                break;
            case RegexNode.Alternation alternation:
                var ends = new List<int>();
                for (var i = 0; i < alternation.Nodes.Count; i++)
                {
                    var isLast = i == alternation.Nodes.Count - 1;
                    var choice = isLast ? -1 : Add(new Instruction(Op.TryNext));
                    Emit(alternation.Nodes[i]);
                    if (!isLast)
                    {
                        ends.Add(Add(new Instruction(Op.Jump)));
                        Patch(choice);
                    }
                }

                ends.ForEach(Patch);
                break;
            case RegexNode.Repeat repeat:
                EmitRepeat(repeat);
                break;
            case RegexNode.Capture capture:
                Add(new Instruction(Op.Save, capture.Number * 2));
                Emit(capture.Body);
                Add(new Instruction(Op.Save, (capture.Number * 2) + 1));
                break;
            case RegexNode.Atomic atomic:
                EmitBody(new Instruction(Op.Atomic), atomic.Body);
                break;
            case RegexNode.Look { Behind: false } look:
                EmitBody(new Instruction(Op.LookAhead, B: look.Negative ? 1 : 0), look.Body);
                break;
            case RegexNode.Look look:
                EmitLookBehind(look);
                break;
            case RegexNode.At anchor:
                Add(new Instruction(Op.Anchor, (int)anchor.Anchor));
                break;
            case RegexNode.Back back:
                Add(new Instruction(Op.Back, back.Number, back.IgnoreCase ? 1 : 0));
                break;
        }
    }

    private void EmitBody(Instruction head, RegexNode body)
    {
        var index = Add(head);
        Emit(body);
        Add(new Instruction(Op.Done));
        Patch(index);
    }

    private void EmitLookBehind(RegexNode.Look look)
    {
        var register = Registers++;
        var index = Add(new Instruction(Op.LookBehind, B: look.Negative ? 1 : 0, C: register, Lengths: [.. look.Body.Lengths()!.Order()]));
        Emit(look.Body);
        Add(new Instruction(Op.IsAt, register));
        Add(new Instruction(Op.Done));
        Patch(index);
    }

    private void EmitRepeat(RegexNode.Repeat repeat)
    {
        if (repeat.Body is RegexNode.OneOf one)
        {
            Add(new Instruction(repeat.Greed switch { Greed.Greedy => Op.SetGreedy, Greed.Lazy => Op.SetLazy, _ => Op.SetPossessive }, repeat.Min, repeat.Max, Set: one.Set));
            return;
        }

        if (repeat.Greed == Greed.Possessive)
        {
            EmitBody(new Instruction(Op.Atomic), repeat with { Greed = Greed.Greedy });
            return;
        }

        for (var i = 0; i < repeat.Min; i++)
        {
            Emit(repeat.Body);
        }

        var enter = repeat.Greed == Greed.Greedy ? Op.TryNext : Op.TryOther;
        if (repeat.Max >= 0)
        {
            var leaves = new List<int>();
            for (var i = repeat.Min; i < repeat.Max; i++)
            {
                leaves.Add(Add(new Instruction(enter)));
                Emit(repeat.Body);
            }

            leaves.ForEach(Patch);
            return;
        }

        // loop: try the body, then leave; a turn that did not move leaves as well.
        var loop = Add(new Instruction(enter));
        var mayBeEmpty = repeat.Body.First() is null;
        var register = mayBeEmpty ? Registers++ : 0;
        if (mayBeEmpty)
        {
            Add(new Instruction(Op.Save, register));
        }

        Emit(repeat.Body);
        var check = mayBeEmpty ? Add(new Instruction(Op.LeaveIfEmpty, register)) : -1;
        Add(new Instruction(Op.Jump, loop));
        Patch(loop);
        if (check >= 0)
        {
            code[check] = code[check] with { B = code.Count };
        }
    }
}
