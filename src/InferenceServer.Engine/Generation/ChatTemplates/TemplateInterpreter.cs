using System.Numerics;
using System.Runtime.CompilerServices;
using System.Text;

namespace InferenceServer.Engine.Generation.ChatTemplates;

/// <summary>Bounds of a rendering: a template is a program that comes with a folder, and its loops may follow what a client sends.</summary>
internal sealed record TemplateLimits
{
    /// <summary>Most steps (statements and expressions).</summary>
    public int Steps { get; init; } = 2_000_000;

    /// <summary>Most characters of the output, and of a string on the way.</summary>
    public int Characters { get; init; } = 16 << 20;

    /// <summary>Most entries of a range or of a list that is made; Jinja's sandbox has the same for ranges.</summary>
    public int Entries { get; init; } = 100_000;

    /// <summary>Deepest nesting of calls.</summary>
    public int Calls { get; init; } = 100;
}

/// <summary>Runs the statements of one rendering.</summary>
/// <param name="limits">Its bounds.</param>
/// <param name="time">The clock of <c>strftime_now</c>.</param>
/// <param name="cancellation">Ends it.</param>
internal sealed class TemplateInterpreter(TemplateLimits limits, TimeProvider time, CancellationToken cancellation)
{
    private const int StepsBetweenLooks = 1024;
    private const int CharactersOfStep = 256;
    private const int PairsOfStep = 4; // where characters have to be counted one by one

    private readonly TemplateFilters filters = new(limits);
    private int steps;
    private int nextLook;
    private int calls;
    private int line = 1;

    private enum Flow
    {
        Next,
        Break,
        Continue,
    }

    /// <summary>Renders the statements with these variables.</summary>
    /// <exception cref="ChatTemplateException">The template refuses, fails, or is over a bound.</exception>
    public string Render(IReadOnlyList<Statement> statements, IReadOnlyDictionary<string, object?> variables)
    {
        var output = new StringBuilder();
        var globals = new Frame(null);
        foreach (var (id, value) in Globals().Concat(variables))
        {
            globals.Set(id, value);
        }

        try
        {
            Run(statements, new Frame(globals), output);
        }
        catch (ChatTemplateException e) when (!e.IsRaised && !e.Message.StartsWith("line ", StringComparison.Ordinal))
        {
            throw new ChatTemplateException($"line {line}: {e.Message}");
        }

        return output.ToString();
    }

    private Dictionary<string, object?> Globals() => new(StringComparer.Ordinal)
    {
        ["raise_exception"] = (Function)((given, _) => throw new ChatTemplateException(TemplateValues.Text(given.ElementAtOrDefault(0)), isRaised: true)),
        ["strftime_now"] = (Function)((given, _) => TemplateDates.Format(TemplateValues.Text(given.ElementAtOrDefault(0)), time.GetLocalNow())),
        ["range"] = (Function)((given, _) => Range(given)),
        ["namespace"] = (Function)((given, named) =>
        {
            var made = new NamespaceObject();
            foreach (var (id, value) in given.OfType<DictObject>().SelectMany(d => d).Select(pair => (TemplateValues.Text(pair.Key), pair.Value)).Concat(named.Select(pair => (pair.Key, pair.Value))))
            {
                made.Members[id] = value;
            }

            return made;
        }),
        ["dict"] = (Function)((given, named) =>
        {
            var made = new DictObject();
            foreach (var (key, value) in given.OfType<DictObject>().SelectMany(d => d).Concat(named.Select(pair => KeyValuePair.Create((object)pair.Key, pair.Value))))
            {
                made[key] = value;
            }

            return made;
        }),
        ["joiner"] = (Function)((given, _) =>
        {
            var calls = 0;
            return (Function)((_, _) => calls++ == 0 ? "" : given.Count > 0 ? given[0] : ", ");
        }),
    };

    private List<object?> Range(IReadOnlyList<object?> given)
    {
        var (from, to, step) = given.Count switch
        {
            1 => (BigInteger.Zero, TemplateValues.Whole(given[0]), BigInteger.One),
            2 => (TemplateValues.Whole(given[0]), TemplateValues.Whole(given[1]), BigInteger.One),
            3 => (TemplateValues.Whole(given[0]), TemplateValues.Whole(given[1]), TemplateValues.Whole(given[2])),
            _ => throw new ChatTemplateException("range takes one to three numbers"),
        };
        if (step.IsZero)
        {
            throw new ChatTemplateException("the step of a range is 0");
        }

        var count = BigInteger.Max(0, step > 0 ? (to - from + step - 1) / step : (from - to - step - 1) / -step);
        if (count > limits.Entries)
        {
            throw new ChatTemplateException($"a range has more than {limits.Entries} numbers");
        }

        return [.. Enumerable.Range(0, (int)count).Select(i => (object?)(from + (i * step)))];
    }

    private Flow Run(IReadOnlyList<Statement> statements, Frame frame, StringBuilder output)
    {
        foreach (var statement in statements)
        {
            line = statement.Line;
            if (Run(statement, frame, output) is not Flow.Next and var flow)
            {
                return flow;
            }
        }

        return Flow.Next;
    }

    private Flow Run(Statement statement, Frame frame, StringBuilder output)
    {
        Step();
        switch (statement)
        {
            case Output text:
                Append(output, text.Text);
                break;
            case Print print:
                Append(output, TemplateValues.Text(Evaluate(print.Value, frame)));
                break;
            case If branches:
                foreach (var (condition, body) in branches.Branches)
                {
                    if (TemplateValues.Truth(Evaluate(condition, frame)))
                    {
                        return Run(body, frame, output);
                    }
                }

                return Run(branches.Else, frame, output);
            case For loop:
                Loop(loop, Evaluate(loop.Over, frame), frame, output, 0);
                break;
            case Set set:
                Assign(set, frame);
                break;
            case Macro macro:
                frame.Set(macro.Id, MacroOf(macro, frame));
                break;
            case CallBlock block:
                var caller = MacroOf(block.Caller, frame);
                var called = Evaluate(block.Call.Of, frame);
                var (positional, named) = Given(block.Call.Arguments, frame);
                named["caller"] = caller;
                Append(output, TemplateValues.Text(Invoke(called, positional, named)));
                break;
            case FilterBlock block:
                Append(output, TemplateValues.Text(ApplyAll(block.Filter, Captured(block.Body, frame), frame)));
                break;
            case Scope scope:
                var inner = new Frame(frame);
                foreach (var (id, value) in scope.Names)
                {
                    inner.Set(id, Evaluate(value, frame));
                }

                return Run(scope.Body, scope.Names.Count > 0 ? inner : frame, output);
            case LoopControl control:
                return control.IsBreak ? Flow.Break : Flow.Continue;
            default:
                throw new InvalidOperationException($"{statement.GetType().Name} is not run.");
        }

        return Flow.Next;
    }

    private void Loop(For loop, object? over, Frame frame, StringBuilder output, int depth)
    {
        Enter();
        var items = new List<object?>();
        foreach (var item in TemplateValues.Iterate(over))
        {
            Step();
            if (loop.Where is not null)
            {
                var filter = new Frame(frame);
                Bind(loop.Targets, item, filter);
                if (!TemplateValues.Truth(Evaluate(loop.Where, filter)))
                {
                    continue;
                }
            }

            items.Add(item);
        }

        for (var i = 0; i < items.Count; i++)
        {
            Step();
            var inner = new Frame(frame);
            Bind(loop.Targets, items[i], inner);
            inner.Set("loop", LoopOf(loop, items, i, frame, depth));
            if (Run(loop.Body, inner, output) == Flow.Break)
            {
                break;
            }
        }

        if (items.Count == 0)
        {
            Run(loop.Else, frame, output);
        }

        calls--;
    }

    private NamespaceObject LoopOf(For loop, List<object?> items, int i, Frame frame, int depth)
    {
        var made = new NamespaceObject();
        var members = made.Members;
        members["index"] = (BigInteger)(i + 1);
        members["index0"] = (BigInteger)i;
        members["revindex"] = (BigInteger)(items.Count - i);
        members["revindex0"] = (BigInteger)(items.Count - i - 1);
        members["first"] = i == 0;
        members["last"] = i == items.Count - 1;
        members["length"] = (BigInteger)items.Count;
        members["depth"] = (BigInteger)(depth + 1);
        members["depth0"] = (BigInteger)depth;
        members["previtem"] = i > 0 ? items[i - 1] : new Undefined("there is no item before the first");
        members["nextitem"] = i + 1 < items.Count ? items[i + 1] : new Undefined("there is no item after the last");
        members["cycle"] = (Function)((given, _) => given.Count > 0 ? given[i % given.Count] : throw new ChatTemplateException("loop.cycle needs a value"));
        members["changed"] = (Function)((_, _) => throw new ChatTemplateException("loop.changed is not supported"));
        if (loop.IsRecursive)
        {
            members["__call__"] = (Function)((given, _) =>
            {
                var inside = new StringBuilder();
                Loop(loop, given.ElementAtOrDefault(0), frame, inside, depth + 1);
                return inside.ToString();
            });
        }

        return made;
    }

    private static void Bind(IReadOnlyList<string> targets, object? item, Frame frame)
    {
        if (targets.Count == 1)
        {
            frame.Set(targets[0], item);
            return;
        }

        var values = TemplateValues.Iterate(item).ToList();
        if (values.Count != targets.Count)
        {
            throw new ChatTemplateException($"{values.Count} values are to be given to {targets.Count} names");
        }

        for (var i = 0; i < targets.Count; i++)
        {
            frame.Set(targets[i], values[i]);
        }
    }

    private void Assign(Set set, Frame frame)
    {
        object? value;
        if (set.Body is { } body)
        {
            value = Captured(body, frame);
            value = set.Filter is null ? value : ApplyAll(set.Filter, value, frame);
        }
        else
        {
            value = Evaluate(set.Value!, frame);
        }

        var values = set.Targets.Count == 1 ? [value] : TemplateValues.Iterate(value).ToList();
        if (values.Count != set.Targets.Count)
        {
            throw new ChatTemplateException($"{values.Count} values are to be given to {set.Targets.Count} names");
        }

        for (var i = 0; i < values.Count; i++)
        {
            var (id, member) = set.Targets[i];
            if (member is null)
            {
                frame.Set(id, values[i]);
                continue;
            }

            if (!frame.TryGet(id, out var target) || target is not NamespaceObject known)
            {
                throw new ChatTemplateException($"'{id}.{member}' cannot be set: only attributes of a namespace can");
            }

            known.Members[member] = values[i];
        }
    }

    private string Captured(IReadOnlyList<Statement> body, Frame frame)
    {
        var inside = new StringBuilder();
        Run(body, new Frame(frame), inside);
        return inside.ToString();
    }

    private Function MacroOf(Macro macro, Frame frame) => (given, named) =>
    {
        Enter();
        var inner = new Frame(frame);
        for (var i = 0; i < macro.Parameters.Count; i++)
        {
            var (id, value) = macro.Parameters[i];
            inner.Set(id, i < given.Count ? given[i] : named.TryGetValue(id, out var own) ? own : value is null ? new Undefined($"the parameter '{id}' was not given") : Evaluate(value, inner));
        }

        if (given.Count > macro.Parameters.Count)
        {
            inner.Set("varargs", new TupleObject(given.Skip(macro.Parameters.Count)));
        }

        inner.Set("caller", named.TryGetValue("caller", out var caller) ? caller : new Undefined("'caller' is undefined"));
        var output = new StringBuilder();
        Run(macro.Body, inner, output);
        calls--;
        return output.ToString();
    };

    private object? Evaluate(Expression expression, Frame frame)
    {
        Step();
        switch (expression)
        {
            case Constant constant:
                return constant.Value;
            case Name name:
                return frame.TryGet(name.Id, out var value) ? value : new Undefined($"'{name.Id}' is undefined");
            case ListOf list:
                var items = list.Items.Select(item => Evaluate(item, frame));
                return list.IsTuple ? new TupleObject(items) : items.ToList();
            case DictOf dict:
                var made = new DictObject();
                foreach (var (key, item) in dict.Items)
                {
                    made[Evaluate(key, frame) ?? throw new ChatTemplateException("None cannot be a key here")] = Evaluate(item, frame);
                }

                return made;
            case Attribute attribute:
                line = attribute.Line;
                var owner = Evaluate(attribute.Of, frame);
                Charge(owner as string); // what its method will go through
                return TemplateMembers.Attribute(owner, attribute.Id, limits);
            case Item { Key: Slice slice } sliced:
                return Sliced(Evaluate(sliced.Of, frame), slice, frame);
            case Item item:
                var holder = Evaluate(item.Of, frame);
                Charge(holder as string);
                return TemplateMembers.Item(holder, Evaluate(item.Key, frame), limits);
            case Call call:
                var called = Evaluate(call.Of, frame);
                var (positional, named) = Given(call.Arguments, frame);
                line = call.Line;
                return Invoke(called, positional, named);
            case Filter filter:
                return Apply(filter, filter.Of is null ? null : Evaluate(filter.Of, frame), frame);
            case Test test:
                var (testGiven, _) = Given(test.Arguments, frame);
                return filters.Test(test.Id, Evaluate(test.Of, frame), testGiven) != test.IsNot;
            case Unary unary:
                return TemplateOperators.Unary(unary.Operator, Evaluate(unary.Of, frame));
            case Binary { Operator: "and" or "or" } binary:
                var left = Evaluate(binary.Left, frame);
                return TemplateValues.Truth(left) == (binary.Operator == "and") ? Evaluate(binary.Right, frame) : left;
            case Binary binary:
                var (a, b) = (Evaluate(binary.Left, frame), Evaluate(binary.Right, frame));
                line = binary.Line;
                return Bounded(TemplateOperators.Binary(binary.Operator, a, b, limits));
            case Comparison comparison:
                var first = Evaluate(comparison.First, frame);
                foreach (var (op, right) in comparison.Others)
                {
                    var second = Evaluate(right, frame);
                    Charge(second);
                    if (!TemplateOperators.Compare(op, first, second))
                    {
                        return false;
                    }

                    first = second;
                }

                return true;
            case Conditional conditional:
                return TemplateValues.Truth(Evaluate(conditional.If, frame)) ? Evaluate(conditional.Then, frame)
                    : conditional.Else is null ? new Undefined("the condition is false and there is no else") : Evaluate(conditional.Else, frame);
            default:
                throw new ChatTemplateException("a slice stands outside of square brackets");
        }
    }

    private (List<object?> Positional, Dictionary<string, object?> Named) Given(Arguments arguments, Frame frame)
    {
        var named = new Dictionary<string, object?>(StringComparer.Ordinal);
        foreach (var (id, value) in arguments.Named)
        {
            named[id] = Evaluate(value, frame);
        }

        return ([.. arguments.Positional.Select(value => Evaluate(value, frame))], named);
    }

    private object? Invoke(object? called, IReadOnlyList<object?> positional, IReadOnlyDictionary<string, object?> named) => called switch
    {
        Function function => Bounded(function(positional, named)),
        NamespaceObject { Members: { } members } when members.TryGetValue("__call__", out var own) && own is Function function => Bounded(function(positional, named)),
        Undefined undefined => throw new ChatTemplateException(undefined.What),
        _ => throw new ChatTemplateException($"{TemplateValues.TypeOf(called)} cannot be called"),
    };

    private object? Apply(Filter filter, object? value, Frame frame)
    {
        Charge(value);
        var (positional, named) = Given(filter.Arguments, frame);
        line = filter.Line;
        return Bounded(filters.Apply(filter.Id, value, positional, named));
    }

    // The filters of a block, the first of which takes what the block renders.
    private object? ApplyAll(Filter filter, object? value, Frame frame) =>
        Apply(filter, filter.Of is Filter inner ? ApplyAll(inner, value, frame) : value, frame);

    private object? Sliced(object? of, Slice slice, Frame frame)
    {
        int? Bound(Expression? bound) => bound is null || Evaluate(bound, frame) is not { } value ? null : TemplateValues.Whole(value) is var whole ? (int)BigInteger.Min(int.MaxValue / 2, BigInteger.Max(int.MinValue / 2, whole)) : null;
        Charge(of);
        return TemplateMembers.Sliced(of, Bound(slice.From), Bound(slice.To), Bound(slice.Step));
    }

    // What goes through a value costs as many steps as it has parts.
    private void Charge(object? value) => steps += value switch
    {
        string text => text.Length / (TemplateValues.IsPlain(text) ? CharactersOfStep : PairsOfStep),
        List<object?> list => list.Count,
        DictObject dict => dict.Count,
        _ => 0,
    };

    private object? Bounded(object? value)
    {
        Charge(value);
        if (value is string { Length: var length } && length > limits.Characters)
        {
            throw new ChatTemplateException($"a text has more than {limits.Characters} characters");
        }

        return value;
    }

    private void Append(StringBuilder output, string text)
    {
        if (output.Length + text.Length > limits.Characters)
        {
            throw new ChatTemplateException($"the output has more than {limits.Characters} characters");
        }

        output.Append(text);
    }

    private void Step()
    {
        if (++steps > limits.Steps)
        {
            throw new ChatTemplateException($"the template takes more than {limits.Steps} steps");
        }

        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack())
        {
            throw new ChatTemplateException("the template is nested too deeply");
        }

        if (steps >= nextLook)
        {
            nextLook = steps + StepsBetweenLooks;
            cancellation.ThrowIfCancellationRequested();
        }
    }

    private void Enter()
    {
        if (++calls > limits.Calls)
        {
            throw new ChatTemplateException($"loops and macros are nested more than {limits.Calls} deep");
        }
    }

    // Names of a scope; what is set stays in it.
    private sealed class Frame(Frame? outer)
    {
        private Dictionary<string, object?>? names;

        public void Set(string id, object? value) => (names ??= new Dictionary<string, object?>(StringComparer.Ordinal))[id] = value;

        public bool TryGet(string id, out object? value)
        {
            for (var frame = this; frame is not null; frame = frame.Outer)
            {
                if (frame.names?.TryGetValue(id, out value) == true)
                {
                    return true;
                }
            }

            value = null;
            return false;
        }

        private Frame? Outer { get; } = outer;
    }
}
