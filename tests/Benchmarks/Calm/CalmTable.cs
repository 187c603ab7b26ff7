using System.Globalization;
using System.Text;

namespace InferenceServer.Benchmarks.Calm;

/// <summary>A case's section: what was measured, its goal, and whether it is met.</summary>
internal sealed class CalmTable
{
    private readonly StringBuilder text = new();

    /// <summary>Begins a section with the sentence that says what was done.</summary>
    public CalmTable(string title, FormattableString done) => text.AppendLine(CultureInfo.InvariantCulture, $"""
        ## {title}

        {DateTime.UtcNow:yyyy-MM-dd}; {Report.Machine}; {Report.Load()}. {done.ToString(CultureInfo.InvariantCulture)}

        | what | measured | goal | |
        |---|--:|--:|---|
        """);

    /// <summary>Adds a figure without a goal.</summary>
    public CalmTable Add(string what, FormattableString measured) => Row(what, measured, "", "");

    /// <summary>Adds a figure with its goal.</summary>
    public CalmTable Add(string what, FormattableString measured, FormattableString goal, bool met) => Row(what, measured, goal.ToString(CultureInfo.InvariantCulture), Report.Met(met));

    /// <inheritdoc/>
    public override string ToString() => text.ToString();

    private CalmTable Row(string what, FormattableString measured, string goal, string met)
    {
        text.AppendLine(CultureInfo.InvariantCulture, $"| {what} | {measured.ToString(CultureInfo.InvariantCulture)} | {goal} | {met} |");
        return this;
    }
}
