using System.Globalization;
using System.Runtime.CompilerServices;

namespace InferenceServer.Engine.Diagnostics;

/// <summary>
/// The message of an error, written as an interpolated string in which each <see cref="Argument"/> and each value of an enumeration
/// keeps its place: a dialect renders them with its own names, and no text that a client sent can be taken for a name. Numbers are
/// written invariantly. There is no conversion from a string, so that no argument is lost on the way: <c>$"text"</c> makes one.
/// </summary>
[InterpolatedStringHandler]
public sealed class ErrorText
{
    /// <summary>Texts, <see cref="Argument"/>s and values of enumerations, in their order.</summary>
    private readonly List<object> parts;

    /// <summary>Called by the compiler for an interpolated string.</summary>
    public ErrorText(int literalLength, int formattedCount) => parts = new List<object>(literalLength > 0 ? (2 * formattedCount) + 1 : formattedCount);

    /// <summary>Appends text.</summary>
    public void AppendLiteral(string value) => parts.Add(value);

    /// <summary>Appends the name of an argument.</summary>
    public void AppendFormatted(Argument value) => parts.Add(value);

    /// <summary>Appends another message, its arguments kept.</summary>
    public void AppendFormatted(ErrorText value) => parts.AddRange(value.parts);

    /// <summary>Appends a value.</summary>
    public void AppendFormatted<T>(T value) => parts.Add(value is Enum choice ? choice : string.Create(CultureInfo.InvariantCulture, $"{value}"));

    /// <summary>Values of an enumeration, separated by commas.</summary>
    public static ErrorText List<T>(IEnumerable<T> values)
        where T : struct, Enum
    {
        var list = new ErrorText(0, 0);
        foreach (var value in values)
        {
            if (list.parts.Count > 0)
            {
                list.AppendLiteral(", ");
            }

            list.AppendFormatted(value);
        }

        return list;
    }

    /// <summary>The message with each argument as <paramref name="nameOf"/> calls it, and each value of an enumeration as <paramref name="valueOf"/> does.</summary>
    public string Render(Func<Argument, string> nameOf, Func<Enum, string> valueOf) => string.Concat(parts.Select(part => part switch
    {
        Argument argument => nameOf(argument),
        Enum value => valueOf(value),
        _ => (string)part,
    }));

    /// <summary>The message in the records' own names, for logs.</summary>
    public override string ToString() => Render(static argument => argument.ToString(), static value => value.ToString());
}
