using System.Runtime.CompilerServices;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Patterns;

/// <summary>
/// Runs a <see cref="RegexProgram"/> over a text: leftmost match, first alternative that fits, as Oniguruma does, on code
/// points. Steps are counted: a pattern that runs away ends in an error, not in a hang.
/// </summary>
internal ref struct RegexMatcher
{
    private const int StepsAtATime = 1 << 20; // between two looks at the cancellation
    private const int StackLimit = 48 << 20;
    private const int Retry = 0, RetryShorter = 1, RetryLonger = 2, Restore = 3; // kinds of frames
    private const int FrameSize = 4;

    [ThreadStatic]
    private static int[]? sharedStack;

    private readonly RegexProgram program;
    private readonly Instruction[] code;
    private readonly ReadOnlySpan<char> text;
    private readonly int[] registers;
    private int[] stack;
    private int top;
    private readonly WorkLimits work;
    private int stepsLeft;
    private int searchStart;

    /// <summary>A matcher for one text; <see cref="Dispose"/> it.</summary>
    /// <param name="program">The pattern.</param>
    /// <param name="text">The text.</param>
    /// <param name="work">Where its steps are taken from.</param>
    public RegexMatcher(RegexProgram program, ReadOnlySpan<char> text, WorkLimits work)
    {
        this.work = work;
        this.program = program;
        this.text = text;
        code = program.Code;
        registers = program.Registers > 2 ? new int[program.Registers] : [];
        stack = sharedStack ?? new int[1024];
        sharedStack = null;
    }

    /// <summary>Gives the stack back.</summary>
    public readonly void Dispose()
    {
        work.GiveBack(stepsLeft);
        if (stack.Length <= 1 << 18)
        {
            sharedStack = stack;
        }
    }

    /// <summary>The leftmost match at or after <paramref name="from"/>.</summary>
    /// <exception cref="InferenceException">The pattern runs away on this text.</exception>
    public bool Find(int from, out int start, out int end)
    {
        searchStart = from;
        start = from;
        while (true)
        {
            if (program.First is { } first)
            {
                while (start < text.Length)
                {
                    var next = start;
                    if (first.Contains(CodePoints.Next(text, ref next)))
                    {
                        break;
                    }

                    start = next;
                }

                if (start >= text.Length)
                {
                    end = 0;
                    return false;
                }
            }

            registers.AsSpan().Fill(-1);
            top = 0;
            end = Run(0, start);
            if (end >= 0)
            {
                return true;
            }

            if (start >= text.Length)
            {
                return false;
            }

            CodePoints.Next(text, ref start);
        }
    }

    // Runs from an instruction to its Done; the end of the match, or -1. Leaves nothing on the stack.
    private int Run(int pc, int at)
    {
        var bottom = top;
        while (true)
        {
            ref readonly var step = ref code[pc];
            var fits = true;
            if (--stepsLeft < 0)
            {
                var more = work.Take(StepsAtATime);
                stepsLeft = more > 0 ? stepsLeft + more : throw RunsAway();
            }

            switch (step.Op)
            {
                case Op.Set:
                    if (at < text.Length)
                    {
                        var next = at;
                        fits = step.Set!.Contains(CodePoints.Next(text, ref next));
                        at = next;
                    }
                    else
                    {
                        fits = false;
                    }

                    pc++;
                    break;
                case Op.SetGreedy or Op.SetPossessive:
                    var begin = at;
                    var count = Eat(step.Set!, step.B, ref at, step.A, out var least);
                    fits = count >= step.A;
                    if (fits && count > step.A && step.Op == Op.SetGreedy)
                    {
                        Push(RetryShorter, pc + 1, at, least);
                    }

                    pc++;
                    break;
                case Op.SetLazy:
                    fits = Eat(step.Set!, step.A, ref at, step.A, out _) >= step.A;
                    if (fits && step.B != step.A)
                    {
                        Push(RetryLonger, pc, at, step.B < 0 ? int.MaxValue : step.B - step.A);
                    }

                    pc++;
                    break;
                case Op.Jump:
                    pc = step.A;
                    break;
                case Op.TryNext:
                    Push(Retry, step.A, at, 0);
                    pc++;
                    break;
                case Op.TryOther:
                    Push(Retry, pc + 1, at, 0);
                    pc = step.A;
                    break;
                case Op.Save:
                    Push(Restore, step.A, registers[step.A], 0);
                    registers[step.A] = at;
                    pc++;
                    break;
                case Op.LeaveIfEmpty:
                    pc = registers[step.A] == at ? step.B : pc + 1;
                    break;
                case Op.IsAt:
                    fits = registers[step.A] == at;
                    pc++;
                    break;
                case Op.Anchor:
                    fits = Holds((Anchor)step.A, at);
                    pc++;
                    break;
                case Op.Back:
                    fits = Repeats(step.A, step.B != 0, ref at);
                    pc++;
                    break;
                case Op.Atomic:
                    var end = Run(pc + 1, at);
                    fits = end >= 0;
                    at = end;
                    pc = step.A;
                    break;
                case Op.LookAhead:
                    fits = (Run(pc + 1, at) >= 0) == (step.B == 0);
                    pc = step.A;
                    break;
                case Op.LookBehind:
                    registers[step.C] = at; // where the body has to end
                    fits = EndsHere(pc + 1, at, step.Lengths!) == (step.B == 0);
                    pc = step.A;
                    break;
                default:
                    top = bottom;
                    return at;
            }

            if (!fits && !Retreat(bottom, ref pc, ref at))
            {
                return -1;
            }
        }
    }

    // Takes the latest choice that is left; false when there is none.
    private bool Retreat(int bottom, ref int pc, ref int at)
    {
        while (top > bottom)
        {
            stepsLeft--;
            var frame = stack.AsSpan(top - FrameSize, FrameSize);
            switch (frame[0])
            {
                case Restore:
                    registers[frame[1]] = frame[2];
                    top -= FrameSize;
                    continue;
                case RetryShorter:
                    pc = frame[1];
                    at = frame[2];
                    CodePoints.Previous(text, ref at);
                    if (at > frame[3])
                    {
                        frame[2] = at;
                    }
                    else
                    {
                        top -= FrameSize;
                    }

                    return true;
                case RetryLonger:
                    pc = frame[1] + 1;
                    at = frame[2];
                    if (at >= text.Length || !code[frame[1]].Set!.Contains(CodePoints.Next(text, ref at)))
                    {
                        top -= FrameSize;
                        continue;
                    }

                    frame[2] = at;
                    if (--frame[3] == 0)
                    {
                        top -= FrameSize;
                    }

                    return true;
                default:
                    pc = frame[1];
                    at = frame[2];
                    top -= FrameSize;
                    return true;
            }
        }

        return false;
    }

    // Up to max characters of the set; least is where the first min of them end.
    private int Eat(CodePointSet set, int max, ref int at, int min, out int least)
    {
        var count = 0;
        least = at;
        var i = at;
        while (count != max && i < text.Length)
        {
            var next = i;
            if (!set.Contains(CodePoints.Next(text, ref next)))
            {
                break;
            }

            i = next;
            if (++count == min)
            {
                least = i;
            }
        }

        at = i;
        stepsLeft -= count;
        return count;
    }

    private readonly bool Holds(Anchor anchor, int at) => anchor switch
    {
        Anchor.LineStart => at == 0 || (text[at - 1] == '\n' && at < text.Length),
        Anchor.LineEnd => at == text.Length || text[at] == '\n',
        Anchor.TextStart => at == 0,
        Anchor.TextEnd => at == text.Length,
        Anchor.TextEndOrLastNewline => at == text.Length || (at == text.Length - 1 && text[at] == '\n'),
        Anchor.SearchStart => at == searchStart,
        _ => (IsWordBefore(at) != IsWordAt(at)) == (anchor == Anchor.WordBoundary),
    };

    private readonly bool IsWordAt(int at) => at < text.Length && UnicodeProperties.Word.Contains(CodePoints.Next(text, ref at));

    private readonly bool IsWordBefore(int at) => at > 0 && UnicodeProperties.Word.Contains(CodePoints.Previous(text, ref at));

    private bool Repeats(int group, bool ignoreCase, ref int at)
    {
        int start = registers[group * 2], end = registers[(group * 2) + 1];
        if (start < 0 || end < start)
        {
            return false;
        }

        stepsLeft -= end - start;
        for (var i = start; i < end;)
        {
            if (at >= text.Length)
            {
                return false;
            }

            int a = CodePoints.Next(text, ref i), b = CodePoints.Next(text, ref at);
            if (a != b && !(ignoreCase && CaseMapping.Fold(a) == CaseMapping.Fold(b)))
            {
                return false;
            }
        }

        return true;
    }

    private bool EndsHere(int pc, int at, int[] lengths)
    {
        var start = at;
        var back = 0;
        foreach (var length in lengths)
        {
            for (; back < length; back++)
            {
                if (start == 0)
                {
                    return false;
                }

                CodePoints.Previous(text, ref start);
            }

            if (Run(pc, start) >= 0)
            {
                return true;
            }
        }

        return false;
    }

    private void Push(int kind, int pc, int at, int extra)
    {
        if (top + FrameSize > stack.Length)
        {
            if (stack.Length >= StackLimit)
            {
                throw RunsAway();
            }

            Array.Resize(ref stack, stack.Length * 2);
        }

        stack[top] = kind;
        stack[top + 1] = pc;
        stack[top + 2] = at;
        stack[top + 3] = extra;
        top += FrameSize;
    }

    private static InferenceException RunsAway() => new(
        ErrorCode.Unprocessable,
        $"the regular expression of the model's tokenizer takes too many steps on this text; shorten the text or break up its long runs of equal characters.");
}
