using System.Globalization;
using System.Text;

namespace InferenceServer.Benchmarks.Calm;

/// <summary>A case's section: what was done, what was measured, its goal, and whether it is met.</summary>
internal sealed class CalmTable(string title, FormattableString done)
{
    private readonly StringBuilder rows = new();

    /// <summary>Adds a figure without a goal.</summary>
    public CalmTable Add(string what, FormattableString measured) => Row(what, measured, "", "");

    /// <summary>Adds a figure with its goal.</summary>
    public CalmTable Add(string what, FormattableString measured, FormattableString goal, bool met) => Row(what, measured, goal.ToString(CultureInfo.InvariantCulture), Report.Met(met));

    /// <summary>The section; <paramref name="load"/> says how busy the machine was before.</summary>
    public string Section(string load) => $"""
        ## {title}

        {DateTime.UtcNow:yyyy-MM-dd}; {Report.Machine}; {load}. {done.ToString(CultureInfo.InvariantCulture)}

        | what | measured | goal | |
        |---|--:|--:|---|
        {rows}
        """;

    private CalmTable Row(string what, FormattableString measured, string goal, string met)
    {
        rows.AppendLine(CultureInfo.InvariantCulture, $"| {what} | {measured.ToString(CultureInfo.InvariantCulture)} | {goal} | {met} |");
        return this;
    }
}
