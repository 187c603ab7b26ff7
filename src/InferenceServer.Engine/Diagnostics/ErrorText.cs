using System.Globalization;
using System.Runtime.CompilerServices;

namespace InferenceServer.Engine.Diagnostics;

/// <summary>
/// The message of an error, written as an interpolated string in which each <see cref="Argument"/> keeps its place: a dialect
/// renders it with its own names, and no text that a client sent can be taken for a name. Numbers are written invariantly.
/// </summary>
[InterpolatedStringHandler]
public sealed class ErrorText
{
    /// <summary>Texts and <see cref="Argument"/>s, in their order.</summary>
    private readonly List<object> parts;

    /// <summary>Called by the compiler for an interpolated string.</summary>
    public ErrorText(int literalLength, int formattedCount) => parts = new List<object>(literalLength > 0 ? (2 * formattedCount) + 1 : formattedCount);

    /// <summary>A message that names no argument.</summary>
    public static implicit operator ErrorText(string text)
    {
        var result = new ErrorText(text.Length, 0);
        result.AppendLiteral(text);
        return result;
    }

    /// <summary>Appends text.</summary>
    public void AppendLiteral(string value) => parts.Add(value);

    /// <summary>Appends the name of an argument.</summary>
    public void AppendFormatted(Argument value) => parts.Add(value);

    /// <summary>Appends another message, its arguments kept.</summary>
    public void AppendFormatted(ErrorText value) => parts.AddRange(value.parts);

    /// <summary>Appends a value.</summary>
    public void AppendFormatted<T>(T value) => parts.Add(string.Create(CultureInfo.InvariantCulture, $"{value}"));

    /// <summary>The message with each argument as <paramref name="nameOf"/> calls it.</summary>
    public string Render(Func<Argument, string> nameOf) => string.Concat(parts.Select(part => part is Argument argument ? nameOf(argument) : (string)part));

    /// <summary>The message in the records' own names, for logs.</summary>
    public override string ToString() => Render(static argument => argument.ToString());
}
