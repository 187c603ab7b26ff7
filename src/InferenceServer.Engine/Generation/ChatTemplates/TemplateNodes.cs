namespace InferenceServer.Engine.Generation.ChatTemplates;

/// <summary>An expression.</summary>
internal abstract record Expression(int Line);

internal sealed record Constant(object? Value, int Line) : Expression(Line);

internal sealed record Name(string Id, int Line) : Expression(Line);

internal sealed record ListOf(IReadOnlyList<Expression> Items, bool IsTuple, int Line) : Expression(Line);

internal sealed record DictOf(IReadOnlyList<(Expression Key, Expression Value)> Items, int Line) : Expression(Line);

internal sealed record Attribute(Expression Of, string Id, int Line) : Expression(Line);

internal sealed record Item(Expression Of, Expression Key, int Line) : Expression(Line);

internal sealed record Slice(Expression? From, Expression? To, Expression? Step, int Line) : Expression(Line);

internal sealed record Call(Expression Of, Arguments Arguments, int Line) : Expression(Line);

internal sealed record Filter(Expression? Of, string Id, Arguments Arguments, int Line) : Expression(Line);

internal sealed record Test(Expression Of, string Id, Arguments Arguments, bool IsNot, int Line) : Expression(Line);

internal sealed record Unary(string Operator, Expression Of, int Line) : Expression(Line);

internal sealed record Binary(string Operator, Expression Left, Expression Right, int Line) : Expression(Line);

internal sealed record Comparison(Expression First, IReadOnlyList<(string Operator, Expression Right)> Others, int Line) : Expression(Line);

internal sealed record Conditional(Expression Then, Expression If, Expression? Else, int Line) : Expression(Line);

/// <summary>What a call is given.</summary>
internal sealed record Arguments(IReadOnlyList<Expression> Positional, IReadOnlyList<(string Id, Expression Value)> Named)
{
    public static Arguments None { get; } = new([], []);
}

/// <summary>A statement, or text.</summary>
internal abstract record Statement(int Line);

internal sealed record Output(string Text, int Line) : Statement(Line);

internal sealed record Print(Expression Value, int Line) : Statement(Line);

internal sealed record If(IReadOnlyList<(Expression Condition, IReadOnlyList<Statement> Body)> Branches, IReadOnlyList<Statement> Else, int Line) : Statement(Line);

internal sealed record For(IReadOnlyList<string> Targets, Expression Over, Expression? Where, bool IsRecursive, IReadOnlyList<Statement> Body, IReadOnlyList<Statement> Else, int Line) : Statement(Line);

/// <summary>Assigns a value, or what its body renders, to names or to an attribute of a namespace.</summary>
internal sealed record Set(IReadOnlyList<(string Id, string? Member)> Targets, Expression? Value, IReadOnlyList<Statement>? Body, Filter? Filter, int Line) : Statement(Line);

internal sealed record Macro(string Id, IReadOnlyList<(string Id, Expression? Default)> Parameters, IReadOnlyList<Statement> Body, int Line) : Statement(Line);

internal sealed record CallBlock(Call Call, Macro Caller, int Line) : Statement(Line);

internal sealed record FilterBlock(Filter Filter, IReadOnlyList<Statement> Body, int Line) : Statement(Line);

/// <summary>A body with names of its own: <c>with</c>, <c>generation</c>.</summary>
internal sealed record Scope(IReadOnlyList<(string Id, Expression Value)> Names, IReadOnlyList<Statement> Body, int Line) : Statement(Line);

internal sealed record LoopControl(bool IsBreak, int Line) : Statement(Line);
