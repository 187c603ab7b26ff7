using System.Text;
using System.Text.Json;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Manifest;

/// <summary>
/// Where a folder keeps its chat template, in the order of transformers 4.57: <c>chat_template.jinja</c>; <c>chat_template.json</c>; <c>chat_template</c> of tokenizer_config.json, a
/// text or a list of named ones, of which "default" is taken.
/// </summary>
internal static class ChatTemplateFiles
{
    private const long MostBytes = 1 << 20;

    /// <summary>The template with the file that it comes from; null when the folder has none. <paramref name="notes"/> gets what a person should know.</summary>
    /// <exception cref="ModelLoadException">A file cannot be read.</exception>
    public static (string Source, string File)? Read(string folder, List<string> notes)
    {
        (string Source, string File)? found = null;
        foreach (var (source, file) in All(folder, notes))
        {
            if (found is null)
            {
                found = (source, file);
            }
            else if (found.Value.Source.TrimEnd() != source.TrimEnd())
            {
                notes.Add($"{file} has another chat template than {found.Value.File}, which is the one that is used.");
            }
        }

        var others = Directory.Exists(Path.Combine(folder, "additional_chat_templates")) ? Directory.GetFiles(Path.Combine(folder, "additional_chat_templates"), "*.jinja").Select(Path.GetFileNameWithoutExtension).Order(StringComparer.Ordinal).ToList() : [];
        if (others.Count > 0)
        {
            notes.Add($"The chat templates of additional_chat_templates ({string.Join(", ", others)}) are not used: conversations are rendered by the default one.");
        }

        return found;
    }

    private static IEnumerable<(string Source, string File)> All(string folder, List<string> notes)
    {
        if (FolderFiles.Read(folder, "chat_template.jinja", MostBytes) is { } bytes)
        {
            yield return (Encoding.UTF8.GetString(bytes).TrimStart('\uFEFF'), "chat_template.jinja");
        }

        foreach (var file in (string[])["chat_template.json", "tokenizer_config.json"])
        {
            if (JsonFile.Read(folder, file) is not { ValueKind: JsonValueKind.Object } json || !json.TryGetProperty("chat_template", out var template))
            {
                continue;
            }

            if (template.ValueKind == JsonValueKind.String)
            {
                yield return (template.GetString()!, file);
            }
            else if (template.ValueKind == JsonValueKind.Array)
            {
                var named = template.EnumerateArray().Where(t => t.ValueKind == JsonValueKind.Object).Select(t => (Name: ConfigReader.Text(t, "name"), Source: ConfigReader.Text(t, "template"))).Where(t => t.Source is not null).ToList();
                var chosen = named.Find(t => t.Name == "default");
                if (named.Count > 1 || chosen.Source is null)
                {
                    notes.Add($"{file}: $.chat_template has the templates {string.Join(", ", named.Select(t => t.Name ?? "(no name)"))}; {(chosen.Source is null ? "none is called default, so conversations cannot be rendered by it" : "conversations are rendered by the default one")}.");
                }

                if (chosen.Source is { } source)
                {
                    yield return (source, file);
                }
            }
        }
    }
}
