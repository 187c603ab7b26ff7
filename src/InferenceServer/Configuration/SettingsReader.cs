using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Reflection;

namespace InferenceServer.Configuration;

/// <summary>
/// Turns configuration sections into immutable records and collects everything that is wrong with them, each with its remedy: a
/// misspelt key, a value that cannot be read, one out of its range.
/// </summary>
internal sealed class SettingsReader(IConfiguration configuration)
{
    /// <summary>Everything found wrong so far.</summary>
    public List<string> Errors { get; } = [];

    /// <summary>Reads a section; keys in <paramref name="ignore"/> are somebody else's.</summary>
    public T Read<T>(string section, params string[] ignore)
        where T : new()
    {
        var result = new T();
        var properties = typeof(T).GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => p.SetMethod is { IsPublic: true }).ToArray();
        foreach (var child in configuration.GetSection(section).GetChildren())
        {
            var property = properties.FirstOrDefault(p => p.Name.Equals(child.Key, StringComparison.OrdinalIgnoreCase));
            if (property is not null)
            {
                Set(result, property, child);
            }
            else if (!ignore.Contains(child.Key, StringComparer.OrdinalIgnoreCase))
            {
                Errors.Add($"{section}:{child.Key} is not a setting. {NearestName.Suggest(child.Key, [.. properties.Select(p => p.Name)], $"settings of {section}")}");
            }
        }

        return result;
    }

    /// <summary>The value of a setting; null, and an error, when it cannot be read or is out of its range.</summary>
    public object? Value(IConfigurationSection setting, Type type, RangeAttribute? range = null)
    {
        var text = setting.Value;
        var value = Parse(type, text);
        var inRange = value is not IConvertible || range is null || type.IsEnum
            || (Convert.ToDouble(value, CultureInfo.InvariantCulture) is var number
                && number >= Convert.ToDouble(range.Minimum, CultureInfo.InvariantCulture)
                && number <= Convert.ToDouble(range.Maximum, CultureInfo.InvariantCulture));
        if (value is null || !inRange)
        {
            Errors.Add($"{setting.Path} is '{text}', expected {Expected(type, range)}. Set it in appsettings.json, as --{setting.Path} or as environment variable {setting.Path.Replace(":", "__", StringComparison.Ordinal)}, or leave it out for its default.");
            return null;
        }

        return value;
    }

    private void Set(object target, PropertyInfo property, IConfigurationSection setting)
    {
        var type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
        if ((type == typeof(string) || !string.IsNullOrWhiteSpace(setting.Value)) && Value(setting, type, property.GetCustomAttribute<RangeAttribute>()) is { } value)
        {
            property.SetValue(target, value); // an empty environment variable is one that is not set
        }
    }

    private static object? Parse(Type type, string? text) => type switch
    {
        _ when text is null => null,
        _ when type == typeof(string) => text,
        _ when type == typeof(bool) => bool.TryParse(text, out var flag) ? flag : null,
        _ when type == typeof(int) => int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? number : null,
        _ when type == typeof(long) => long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? number : null,
        _ when type == typeof(double) => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number) ? number : null,
        _ when type == typeof(TimeSpan) => TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out var time) ? time : null,
        _ when type.IsEnum => Enum.GetNames(type).FirstOrDefault(n => n.Equals(text, StringComparison.OrdinalIgnoreCase)) is { } name ? Enum.Parse(type, name) : null,
        _ => throw new NotSupportedException($"Settings of type {type.Name} are not read."),
    };

    private static string Expected(Type type, RangeAttribute? range)
    {
        var what = type switch
        {
            _ when type == typeof(bool) => "true or false",
            _ when type == typeof(int) || type == typeof(long) => "a whole number",
            _ when type == typeof(double) => "a number",
            _ when type == typeof(TimeSpan) => "a time such as 00:00:30",
            _ when type.IsEnum => "one of " + string.Join(", ", Enum.GetNames(type).Select(n => n.ToLowerInvariant())),
            _ => "a text",
        };
        return range is null ? what : string.Create(CultureInfo.InvariantCulture, $"{what} from {range.Minimum} to {range.Maximum}");
    }
}
