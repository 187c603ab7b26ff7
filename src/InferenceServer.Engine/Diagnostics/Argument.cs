namespace InferenceServer.Engine.Diagnostics;

/// <summary>
/// Which part of a request is at fault: a property of the request's record, then indexes and properties inside it
/// (<c>Inputs[3]</c>, <c>Inputs[3].Context</c>, <c>TopK</c>). It has the names of the records alone; how a property is called on
/// the wire is known to the dialect, which renders it.
/// </summary>
public sealed record Argument
{
    private readonly Argument? parent;
    private readonly string? property;
    private readonly int index;

    private Argument(Argument? parent, string? property, int index) => (this.parent, this.property, this.index) = (parent, property, index);

    /// <summary>The property of the request's record that the path starts with.</summary>
    public string Root => parent is null ? property! : parent.Root;

    /// <summary>Entry <paramref name="at"/> of the list, from 0.</summary>
    public Argument this[int at] => new(this, null, at);

    /// <summary>A property of the request's record, by <c>nameof</c>.</summary>
    public static Argument Of(string property) => new(null, property, 0);

    /// <summary>Entry <paramref name="index"/> (from 0) of a property of the request's record.</summary>
    public static Argument Of(string property, int index) => Of(property)[index];

    /// <summary>A property of what the path leads to.</summary>
    public Argument Property(string name) => new(this, name, 0);

    /// <summary>The path with every property called as <paramref name="nameOf"/> says: <c>inputs[3].context</c>.</summary>
    public string Render(Func<string, string> nameOf) =>
        property is null ? $"{parent!.Render(nameOf)}[{index}]"
        : parent is null ? nameOf(property)
        : $"{parent.Render(nameOf)}.{nameOf(property)}";

    /// <summary>The path in the records' own names, for logs.</summary>
    public override string ToString() => Render(static name => name);
}
