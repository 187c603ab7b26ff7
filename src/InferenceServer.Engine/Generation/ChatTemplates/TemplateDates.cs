using System.Globalization;
using System.Text;

namespace InferenceServer.Engine.Generation.ChatTemplates;

/// <summary>Dates by Python's <c>strftime</c> codes, with English names whatever the culture.</summary>
internal static class TemplateDates
{
    public static string Format(string format, DateTimeOffset now)
    {
        var text = new StringBuilder();
        for (var i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length)
            {
                text.Append(format[i]);
                continue;
            }

            var bare = format[i + 1] == '-' && i + 2 < format.Length; // glibc: without leading zeros
            var code = format[i += bare ? 2 : 1];
            var part = Part(code, now);
            text.Append(part is null ? $"%{(bare ? "-" : "")}{code}" : bare ? part.TrimStart('0', ' ') is { Length: > 0 } rest ? rest : "0" : part);
        }

        return text.ToString();
    }

    private static string? Part(char code, DateTimeOffset now)
    {
        var culture = CultureInfo.InvariantCulture;
        return code switch
        {
            'Y' => now.ToString("yyyy", culture),
            'y' => now.ToString("yy", culture),
            'm' => now.ToString("MM", culture),
            'd' => now.ToString("dd", culture),
            'e' => now.Day.ToString(culture).PadLeft(2),
            'B' => now.ToString("MMMM", culture),
            'b' or 'h' => now.ToString("MMM", culture),
            'A' => now.ToString("dddd", culture),
            'a' => now.ToString("ddd", culture),
            'H' => now.ToString("HH", culture),
            'I' => now.ToString("hh", culture),
            'k' => now.Hour.ToString(culture).PadLeft(2),
            'l' => ((now.Hour + 11) % 12 + 1).ToString(culture).PadLeft(2),
            'M' => now.ToString("mm", culture),
            'S' => now.ToString("ss", culture),
            'f' => now.ToString("ffffff", culture),
            'p' => now.Hour < 12 ? "AM" : "PM",
            'P' => now.Hour < 12 ? "am" : "pm",
            'j' => now.DayOfYear.ToString("000", culture),
            'w' => ((int)now.DayOfWeek).ToString(culture),
            'u' => (((int)now.DayOfWeek + 6) % 7 + 1).ToString(culture),
            'U' => ((now.DayOfYear + 6 - (int)now.DayOfWeek) / 7).ToString("00", culture),
            'W' => ((now.DayOfYear + 6 - (((int)now.DayOfWeek + 6) % 7)) / 7).ToString("00", culture),
            'V' => ISOWeek.GetWeekOfYear(now.DateTime).ToString("00", culture),
            'G' => ISOWeek.GetYear(now.DateTime).ToString(culture),
            'C' => (now.Year / 100).ToString("00", culture),
            's' => now.ToUnixTimeSeconds().ToString(culture),
            'D' => now.ToString("MM/dd/yy", culture),
            'F' => now.ToString("yyyy-MM-dd", culture),
            'T' => now.ToString("HH:mm:ss", culture),
            'R' => now.ToString("HH:mm", culture),
            'r' => now.ToString("hh:mm:ss", culture) + (now.Hour < 12 ? " AM" : " PM"),
            'c' => now.ToString("ddd MMM ", culture) + now.Day.ToString(culture).PadLeft(2) + now.ToString(" HH:mm:ss yyyy", culture),
            'x' => now.ToString("MM/dd/yy", culture),
            'X' => now.ToString("HH:mm:ss", culture),
            'z' or 'Z' => "", // Python's local time without a zone
            'n' => "\n",
            't' => "\t",
            '%' => "%",
            _ => null,
        };
    }
}
