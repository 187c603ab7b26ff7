using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using Xunit;

namespace InferenceServer.Engine.Tests.Manifest;

/// <summary>Which ONNX file of a folder is taken.</summary>
public sealed class OnnxFileSetTests
{
    [Theory]
    [InlineData("model.onnx onnx/model.onnx", "onnx/model.onnx")]
    [InlineData("model.onnx model_quantized.onnx", "model.onnx")]
    [InlineData("onnx/model_q4.onnx", "onnx/model_q4.onnx")]
    [InlineData("model_optimized.onnx", "model_optimized.onnx")]
    [InlineData("encoder_model.onnx decoder_model.onnx decoder_with_past_model.onnx decoder_model_merged.onnx", "encoder_model.onnx decoder_model.onnx decoder_with_past_model.onnx decoder_model_merged.onnx")]
    [InlineData("encoder_model.onnx decoder_model.onnx decoder_with_past_model.onnx", "encoder_model.onnx decoder_model.onnx decoder_with_past_model.onnx")]
    [InlineData("onnx/encoder_model.onnx onnx/decoder_model_merged.onnx", "onnx/encoder_model.onnx onnx/decoder_model_merged.onnx")]
    [InlineData("encoder_model.onnx decoder_model.onnx encoder_model_fp16.onnx", "encoder_model.onnx decoder_model.onnx")]
    [InlineData("decoder_model.onnx decoder_model_merged.onnx decoder_with_past_model.onnx", "decoder_model.onnx decoder_with_past_model.onnx")]
    [InlineData("decoder_model.onnx decoder_model_merged.onnx", "decoder_model.onnx decoder_model_merged.onnx")]
    [InlineData("decoder_model_merged.onnx decoder_with_past_model.onnx", "decoder_model_merged.onnx")]
    public void The_default_is_chosen(string files, string chosen)
    {
        using var folder = new Folder([.. files.Split(' ').Select(f => (f, "x"))]);

        Assert.Equal(chosen.Split(' '), Chosen(folder, null));
    }

    [Theory]
    [InlineData("onnx/model_fp16.onnx", "onnx/model_fp16.onnx")]
    [InlineData("./model.onnx", "model.onnx")]
    [InlineData("encoder_model_int8.onnx", "encoder_model_int8.onnx decoder_model_int8.onnx")]
    [InlineData("decoder_model_int8.onnx", "decoder_model_int8.onnx")]
    public void The_setting_comes_first(string setting, string chosen)
    {
        using var folder = new Folder(("model.onnx", "x"), ("onnx/model.onnx", "x"), ("onnx/model_fp16.onnx", "x"), ("encoder_model_int8.onnx", "x"), ("decoder_model_int8.onnx", "x"));

        Assert.Equal(chosen.Split(' '), Chosen(folder, setting));
    }

    [Theory]
    [InlineData("../other/model.onnx")]
    [InlineData("onnx/../../outside.onnx")]
    [InlineData("/etc/hostname")]
    [InlineData("..\\outside.onnx")]
    [InlineData("link.onnx")]
    [InlineData("linked/outside.onnx")]
    [InlineData("..")]
    [InlineData("a\0b")]
    public void A_setting_never_leads_out_of_the_folder(string setting)
    {
        using var folder = new Folder(("model.onnx", "x"));
        File.WriteAllText(Path.Combine(folder.Outside, "outside.onnx"), "x");
        File.CreateSymbolicLink(Path.Combine(folder.Path, "link.onnx"), "../outside.onnx");
        Directory.CreateSymbolicLink(Path.Combine(folder.Path, "linked"), folder.Outside);

        var e = Assert.Throws<ModelLoadException>(() => OnnxFileSet.Choose(folder.Path, setting));

        Assert.Contains("Models:model:File", e.Message, StringComparison.Ordinal);
        Assert.Contains("not inside", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_setting_that_names_nothing_lists_what_there_is()
    {
        using var folder = new Folder(("onnx/model.onnx", "x"), ("onnx/model_fp16.onnx", "x"));

        var e = Assert.Throws<ModelLoadException>(() => OnnxFileSet.Choose(folder.Path, "onnx/model_q8.onnx"));

        Assert.Contains("onnx/model.onnx, onnx/model_fp16.onnx", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Several_without_a_default_are_listed()
    {
        using var folder = new Folder(("onnx/model_fp16.onnx", "x"), ("onnx/model_q4.onnx", "x"));

        var e = Assert.Throws<ModelLoadException>(() => OnnxFileSet.Choose(folder.Path));

        Assert.Contains("onnx/model_fp16.onnx, onnx/model_q4.onnx", e.Message, StringComparison.Ordinal);
        Assert.Contains("Models:model:File", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_default_that_is_a_link_out_of_the_folder_is_refused()
    {
        using var folder = new Folder(("config.json", "{}"));
        File.WriteAllText(Path.Combine(folder.Outside, "outside.onnx"), "x");
        File.CreateSymbolicLink(Path.Combine(folder.Path, "model.onnx"), "../outside.onnx");

        Assert.Contains("links that lead outside of it: model.onnx", Assert.Throws<ModelLoadException>(() => OnnxFileSet.Choose(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_link_inside_the_folder_and_a_linked_folder_are_served()
    {
        using var folder = new Folder(("weights/a.onnx", "x"));
        File.CreateSymbolicLink(Path.Combine(folder.Path, "model.onnx"), "weights/a.onnx");
        var linked = Path.Combine(folder.Outside, "linked");
        Directory.CreateSymbolicLink(linked, folder.Path);

        Assert.Equal(Path.Combine(linked, "model.onnx"), OnnxFileSet.Choose(linked).Main);
    }

    [Theory]
    [InlineData("config.json", true)]
    [InlineData("onnx/model_q4.onnx", true)]
    [InlineData("train.py", false)]
    [InlineData("tokenizer.json", false)]
    public void A_model_folder_has_a_config_or_an_ONNX_file(string file, bool isModel)
    {
        using var folder = new Folder((file, "x"));

        Assert.Equal(isModel, ModelManifest.IsModelFolder(folder.Path));
    }

    private static IEnumerable<string> Chosen(Folder folder, string? setting) =>
        OnnxFiles.In(OnnxFileSet.Choose(folder.Path, setting)).Select(f => Path.GetRelativePath(folder.Path, f));
}
